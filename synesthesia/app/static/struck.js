// The card of what was struck: what the model thinks is there, and sliders that change it and sound at once.

import { RATE } from "./engine.js";
import { made, threeDigits } from "./forms.js";
import { Scope } from "./scope.js";
import { changed, modes, push, strike } from "./strike.js";

/** @typedef {import("./strike.js").Physics} Physics */
/** @typedef {{x: number, y: number, force: number | number[], mallet: string, physics: Physics, codebook: number[][]}} Knock */

const CHANGED = /** @type {const} */ (["mass", "stiffness", "size", "damping"]);
const RESOUND_MS = 70;

/** Dispatches `sound` {samples} on its root each time something is to be heard. */
export class Struck {
  /** @type {Knock | null} */
  knock = null;
  /** What sounded last. @type {Float32Array} */
  samples = new Float32Array(0);
  seconds = 1.5;
  seed = 0;
  /** @type {Scope | null} */
  #scope = null;
  #later = 0;

  /**
   * @param {HTMLElement} root holds #not-yet, #away, #struck, #facts, #scope, #sliders
   * @param {import("./texts.js").Texts} texts
   */
  constructor(root, texts) {
    this.root = root;
    this.texts = texts;
    this.#makeSliders();
    texts.addEventListener("language", () => this.say());
  }

  /** @param {string} id */
  #find(id) {
    return /** @type {HTMLElement} */ (this.root.querySelector(`#${id}`));
  }

  /** @param {string} id */
  #field(id) {
    return /** @type {HTMLInputElement} */ (this.#find(id));
  }

  /** Shows what was struck and lets it sound. @param {Knock} knock */
  show(knock) {
    this.knock = knock;
    this.#field("force").value = String(size(knock.force));
    this.#find("not-yet").hidden = true;
    this.#find("struck").hidden = false;
    this.#scope ??= new Scope(this.#find("scope"), this.texts.say("scope"));
    this.#fillCodes();
    this.#tell();
    this.sound();
  }

  /** Nothing is struck any more. */
  clear() {
    this.knock = null;
    this.#find("not-yet").hidden = false;
    this.#find("struck").hidden = true;
    this.asSeen();
  }

  /** Sliders back to what the model saw. */
  asSeen() {
    for (const name of CHANGED) this.#field(name).value = "0";
    /** @type {HTMLSelectElement} */ (this.#find("code")).value = "";
    this.#slid();
  }

  /** How to strike, as the sliders say. */
  settings() {
    const knock = this.knock;
    const code = /** @type {HTMLSelectElement} */ (this.#find("code")).value;
    const newtons = Number(this.#field("force").value);
    const force = knock?.force ?? newtons;
    const factors = Object.fromEntries(CHANGED.map((name) => [name, 2 ** Number(this.#field(name).value)]));
    return {
      ...factors, mallet: knock?.mallet ?? "wood", seconds: this.seconds, rate: RATE, seed: this.seed,
      force: typeof force === "number" ? newtons : force.map((f) => (f * newtons) / size(force)),
      ...(code === "" || !knock ? {} : { code: Number(code), matter: knock.codebook[Number(code)] }),
    };
  }

  /** The same as the verb `knock` takes it. @returns {Record<string, any>} */
  asked() {
    const { mass, stiffness, size: large, damping, force, code, mallet } = /** @type {any} */ (this.settings());
    const at = this.knock ? [this.knock.x, this.knock.y] : [0.5, 0.5];
    return { at, force, hardness: mallet, mass, stiffness, size: large, damping, seed: this.seed, seconds: this.seconds,
      ...(code === undefined ? {} : { material_code: code }) };
  }

  /** Sets sliders from what the verb takes. @param {Record<string, any>} asked */
  take(asked) {
    for (const name of CHANGED) this.#field(name).value = String(Math.log2(asked[name] ?? 1));
    if (this.knock) this.#fillCodes();
    /** @type {HTMLSelectElement} */ (this.#find("code")).value = asked.material_code === undefined ? "" : String(asked.material_code);
    this.#tell();
  }

  /** Strikes what was struck last with what the sliders say now. */
  sound() {
    if (!this.knock) return;
    const { physics } = this.knock;
    const settings = this.settings();
    const samples = strike(physics, settings);
    this.samples = samples;
    this.root.dispatchEvent(new CustomEvent("sound", { detail: { samples, rate: RATE, settings }, bubbles: true }));
    // It is heard first and drawn then.
    window.setTimeout(() => {
      this.#facts(physics, settings);
      this.#find("away").textContent = push(physics, settings.force) > 0 ? "" : this.texts.say("away");
      this.#scope?.show(samples, RATE, modes(physics, settings));
    }, 0);
  }

  /** Says everything in the language of now. */
  say() {
    if (this.#scope) this.#scope.label = this.texts.say("scope");
    if (this.knock) {
      this.#fillCodes();
      this.#facts(this.knock.physics, this.settings());
    }
  }

  /**
   * @param {Physics} physics
   * @param {import("./strike.js").Settings} settings
   */
  #facts(physics, settings) {
    const { texts } = this;
    const p = changed(physics, settings);
    const { frequency, t60 } = modes(physics, settings);
    const spread = Math.exp(1.2816 * p.log_f1_std); // to the 10th and the 90th percentile
    const facts = [
      ["pitch", `${threeDigits(frequency[0])} Hz`], ["rings", `${threeDigits(Math.max(...t60))} s`],
      ["weighs", `${threeDigits(p.density * p.fill * p.size_m ** 3)} kg`], ["large", `${threeDigits(100 * p.size_m)} cm`],
      ["hollow", `${Math.round(100 * p.hollow)} %`], ["materialCode", String(p.code)],
    ];
    const rows = facts.map(([key, value]) => made("div", {}, made("dt", {}, texts.say(key)), made("dd", {}, value)));
    const between = { low: threeDigits(frequency[0] / spread), high: threeDigits(Math.min(frequency[0] * spread, 20000)) };
    const notes = [texts.say("between", between)];
    if (p.struck === "surround") notes.push(texts.say("surround"));
    this.#find("facts").replaceChildren(...rows);
    this.#find("facts-note").textContent = notes.join(" · ");
  }

  #fillCodes() {
    const choice = /** @type {HTMLSelectElement} */ (this.#find("code"));
    const was = choice.value;
    const seen = String(this.knock?.physics.code ?? "");
    choice.replaceChildren(
      made("option", { value: "" }, this.texts.say("seenCode", { code: seen })),
      ...(this.knock?.codebook ?? []).map((_, k) => made("option", { value: `${k}` }, this.texts.say("otherCode", { code: k }))),
    );
    choice.value = was;
  }

  #makeSliders() {
    const box = this.#find("sliders");
    /** @type {(id: string, key: string, range: Record<string, string>) => void} */
    const slide = (id, key, range) => {
      const field = made("input", { type: "range", id, ...range });
      field.addEventListener("input", () => this.#slid());
      box.append(made("label", { class: "slide" }, made("span", { "data-text": key }), made("output", { id: `${id}-told` }), field));
    };
    for (const name of CHANGED) {
      slide(name, `factor${name[0].toUpperCase()}${name.slice(1)}`, { min: "-2", max: "2", step: "0.05", value: "0" });
    }
    slide("force", "force", { min: "0.5", max: "40", step: "0.1", value: "5" });
    const code = made("select", { id: "code", "data-label": "materialCode" });
    code.addEventListener("change", () => this.#slid());
    box.append(code);
    this.#tell();
  }

  #tell() {
    for (const name of CHANGED) this.#find(`${name}-told`).textContent = `× ${threeDigits(2 ** Number(this.#field(name).value))}`;
    this.#find("force-told").textContent = `${threeDigits(Number(this.#field("force").value))} N`;
  }

  /** A slider moves: the sound follows, but not more often than can be heard apart. */
  #slid() {
    this.#tell();
    window.clearTimeout(this.#later);
    this.#later = window.setTimeout(() => this.sound(), RESOUND_MS);
  }
}

/** @param {number | number[]} force */
function size(force) {
  return typeof force === "number" ? force : Math.hypot(...force);
}
