// The parts of a scene as a list: colour, name, how sure, solo, mute, level.

import { made } from "./forms.js";

// Colours of parts, apart for colour-blind eyes too (Okabe & Ito 2008), as in synesthesia/picture.py.
const PARTS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7"];

/** @param {number} k */
export function partColour(k) {
  return PARTS[k % PARTS.length];
}

/** Dispatches `solo` {only: number | null} on its root when which parts are alone has changed. */
export class Stems {
  /** @type {number[]} how sure each part is */
  #sure = [];
  /** @type {Set<number>} */
  #solos = new Set();

  /**
   * @param {HTMLElement} root a list
   * @param {import("./engine.js").Engine} engine
   * @param {import("./texts.js").Texts} texts
   */
  constructor(root, engine, texts) {
    this.root = root;
    this.engine = engine;
    this.texts = texts;
    texts.addEventListener("language", () => this.say());
  }

  /** Shows parts, and the bed after them. @param {number[]} sure */
  show(sure) {
    this.#sure = sure;
    this.#solos.clear();
    this.root.replaceChildren(...[...sure, null].map((_, k) => this.#row(k)));
    this.say();
  }

  /** Tells the engine all levels, mutes and solos. */
  apply() {
    for (let k = 0; k < this.root.children.length; k++) {
      this.engine.setSolo(String(k), this.#solos.has(k));
      this.engine.setMute(String(k), this.#on(k, "mute"));
      this.engine.setLevel(String(k), Number(this.#part(k, "input").value));
    }
  }

  /**
   * @param {number} k
   * @param {string} selector
   */
  #part(k, selector) {
    return /** @type {HTMLInputElement} */ (this.root.children[k].querySelector(selector));
  }

  /**
   * @param {number} k
   * @param {"mute" | "solo"} what
   */
  #on(k, what) {
    return this.#part(k, `.${what}`).getAttribute("aria-pressed") === "true";
  }

  /** @param {number} k */
  #row(k) {
    const dot = made("span", { class: "dot" });
    if (k < this.#sure.length) dot.style.setProperty("--colour", partColour(k));
    const level = made("input", { type: "range", min: "-24", max: "12", step: "1", value: "0" });
    level.addEventListener("input", () => this.apply());
    const toggles = ["solo", "mute"].map((what) => {
      const button = made("button", { type: "button", class: `toggle ${what}`, "aria-pressed": "false" });
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        if (what === "solo") {
          if (on) this.#solos.add(k);
          else this.#solos.delete(k);
          const [only] = this.#solos;
          const alone = this.#solos.size === 1 && only < this.#sure.length ? only : null;
          this.root.dispatchEvent(new CustomEvent("solo", { detail: { only: alone } }));
        }
        this.apply();
      });
      return button;
    });
    return made("li", { class: "stem" }, dot, made("span", { class: "name" }), ...toggles, level);
  }

  /** Says everything in the language of now. */
  say() {
    for (let k = 0; k < this.root.children.length; k++) {
      const part = k < this.#sure.length;
      const name = part ? this.texts.say("part", { n: k + 1 }) : this.texts.say("bed");
      const sure = part ? this.texts.say("sure", { percent: Math.round(100 * this.#sure[k]) }) : "";
      this.#part(k, ".name").replaceChildren(name, " ", made("small", {}, sure));
      this.#part(k, "input").setAttribute("aria-label", this.texts.say("level", { name }));
      for (const what of ["mute", "solo"]) {
        this.#part(k, `.${what}`).textContent = this.texts.say(`${what}Short`);
        this.#part(k, `.${what}`).setAttribute("aria-label", this.texts.say(what, { name }));
      }
    }
  }
}
