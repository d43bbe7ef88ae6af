import { Texts } from "./texts.js";
export function start(element, server) { window.S = { element, server }; }
