// The index of a gallery: its texts and its colours.

import { Texts } from "./texts.js";

const texts = new Texts();

function say() {
  document.documentElement.lang = texts.language === "zh" ? "zh-CN" : "en";
  texts.apply(document);
}

document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
document.getElementById("language")?.addEventListener("click", () => texts.toggle());
texts.addEventListener("language", say);
say();
