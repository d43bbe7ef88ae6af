// The page that `synesthesia export` writes: everything it needs stands in it, and nothing is asked of any network.

import { bytesOf } from "./ears.js";
import { Engine, RATE } from "./engine.js";
import { Picture, valueAt } from "./picture.js";
import { Plan } from "./plan.js";
import { Scope } from "./scope.js";
import { MALLETS, changed, modes, push, strike } from "./strike.js";
import { Texts } from "./texts.js";

/** @typedef {import("./strike.js").Physics} Physics */

/**
 * @typedef {object} PageData
 * @property {string} photo data: URL
 * @property {{audio: string, gain: number, position: number[], width: number, confidence: number, mask: {rows: number,
 *   columns: number, values: string}}[]} parts
 * @property {{audio: string, gain: number}} bed
 * @property {boolean} loop
 * @property {import("./ears.js").Air} air
 * @property {number} across degrees
 * @property {number[][][]} walls
 * @property {{rows: number, columns: number, places: Physics[]}} knocks
 * @property {number[][]} codebook
 * @property {import("./ears.js").EarsTable} ears
 * @property {{seed: number, models: {verb: string, name: string, licence: string}[]}} made
 */

// Colours of parts, apart for colour-blind eyes too (Okabe & Ito 2008), as in synesthesia/picture.py.
const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7"];
const FACTORS = /** @type {const} */ (["mass", "stiffness", "size", "damping"]);
const SECONDS = 1.5; // of a knock

/** @param {string} id */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} id */
const field = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));

/**
 * An element with attributes and what is in it.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} inside
 * @returns {HTMLElementTagNameMap[T]}
 */
function element(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

/** Three significant digits without an exponent. @param {number} value */
function three(value) {
  return Math.abs(value) < 1000 ? String(Number(value.toPrecision(3))) : String(Math.round(Number(value.toPrecision(3))));
}

/** The page: its parts are public for who wants to play with them from the console. */
class Page {
  /** @type {Promise<AudioBuffer[]>} */
  #decoded;
  /** @type {Promise<void> | null} */
  #loaded = null;
  /** @type {{x: number, y: number, force: number | number[], physics: Physics} | null} */
  #knock = null;
  /** @type {Set<number>} */
  #solos = new Set();
  /** @type {Scope | null} */
  #scope = null;
  #resound = 0;

  /** @param {PageData} data */
  constructor(data) {
    this.data = data;
    this.texts = new Texts();
    this.engine = new Engine(data.ears);
    this.picture = new Picture(find("picture"), { texts: this.texts });
    this.plan = new Plan(find("plan"), { texts: this.texts });
    this.masks = data.parts.map(({ mask }) => ({
      rows: mask.rows, columns: mask.columns, values: Float32Array.from(bytesOf(mask.values), (v) => v / 255),
    }));
    this.#decoded = Promise.all([...data.parts, data.bed].map((part) => this.engine.decode(part.audio, data.loop)));
  }

  /** Shows everything. */
  async start() {
    const { data, texts } = this;
    document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    this.#makeStems();
    this.#makeSliders();
    this.#wire();
    texts.addEventListener("language", () => this.#say());
    this.#say();
    this.#chooseTool(data.parts.length > 0 ? "place" : "knock");
    find("nothing").hidden = data.parts.length > 0;
    await this.picture.setPhoto(data.photo);
    this.picture.setRegions(this.masks.map((grid, k) => ({ grid, colour: this.colour(k) })));
    this.plan.setScene({
      sources: data.parts.map(({ position, width }, k) => ({ position, width, colour: this.colour(k), name: `${k + 1}` })),
      walls: data.walls,
      across: data.across,
    });
    const buffers = await this.#decoded;
    buffers.forEach((buffer, k) => this.#drawWave(k, buffer));
    document.documentElement.dataset.ready = "yes";
  }

  /** @param {number} k */
  colour(k) {
    return COLOURS[k % COLOURS.length];
  }

  // --- playing ---

  /** The parts in the engine, once; only after a gesture. */
  #load() {
    this.#loaded ??= this.#decoded.then((buffers) =>
      this.engine.load(
        buffers.map((audio, k) => {
          const part = this.data.parts[k] ?? this.data.bed;
          return { ...part, audio, id: String(k) };
        }),
        { loop: this.data.loop, air: this.data.air },
      ),
    );
    return this.#loaded;
  }

  /** @param {boolean} on */
  async play(on) {
    if (on) {
      await this.#load();
      this.#levels();
      await this.engine.play();
      this.#meter();
    } else this.engine.stop();
    find("play-sign").textContent = on ? "■" : "▶";
    find("play-word").dataset.text = on ? "stop" : "play";
    find("play-word").textContent = this.texts.say(on ? "stop" : "play");
  }

  #levels() {
    const count = this.data.parts.length + 1;
    for (let k = 0; k < count; k++) {
      this.engine.setSolo(String(k), this.#solos.has(k));
      this.engine.setMute(String(k), this.#toggle(k, "mute").getAttribute("aria-pressed") === "true");
      this.engine.setLevel(String(k), Number(field(`level-${k}`).value));
    }
  }

  /** @param {number} k @param {"mute" | "solo"} what */
  #toggle(k, what) {
    return find(`${what}-${k}`);
  }

  /** Only this part, or all of them where it was alone already. @param {number | null} k */
  #alone(k) {
    const again = k !== null && this.#solos.size === 1 && this.#solos.has(k);
    this.#solos = new Set(k === null || again ? [] : [k]);
    this.#showSolos();
  }

  #showSolos() {
    for (let k = 0; k <= this.data.parts.length; k++) {
      this.#toggle(k, "solo").setAttribute("aria-pressed", String(this.#solos.has(k)));
    }
    const [only] = this.#solos;
    this.picture.select(this.#solos.size === 1 && only < this.data.parts.length ? only : null);
    if (this.engine.playing) this.#levels();
  }

  #meter() {
    if (!this.engine.playing) return;
    const { left, right } = this.engine.levels();
    for (const [id, power] of /** @type {[string, number][]} */ ([["left", left], ["right", right]])) {
      /** @type {HTMLMeterElement} */ (find(id)).value = Math.max(-60, 10 * Math.log10(power + 1e-9));
    }
    requestAnimationFrame(() => this.#meter());
  }

  /** @param {{x: number, y: number, z: number, yaw: number}} pose */
  async #walked(pose) {
    this.engine.setListener(pose);
    if (!field("walking").checked) {
      field("walking").checked = true;
      this.engine.setBinaural(true);
    }
    if (!this.engine.playing) await this.play(true);
  }

  // --- knocking ---

  /** @param {{x: number, y: number, force: number | number[], mallet: string}} knock */
  async #knocked({ x, y, force }) {
    const { rows, columns, places } = this.data.knocks;
    const numbers = { rows, columns, values: places.map((_, k) => k) };
    const physics = places[valueAt(numbers, { x, y })];
    this.#knock = { x, y, force, physics };
    const size = typeof force === "number" ? force : Math.hypot(...force);
    field("force").value = String(size);
    find("not-yet").hidden = true;
    find("struck").hidden = false;
    this.#scope ??= new Scope(find("scope"), this.texts.say("scope"));
    this.#fillCodes();
    await this.#sound();
  }

  /** How to strike, as the sliders say. */
  settings() {
    const code = /** @type {HTMLSelectElement} */ (find("code")).value;
    const force = this.#knock?.force ?? this.picture.force;
    const newtons = Number(field("force").value);
    const was = typeof force === "number" ? 0 : Math.hypot(...force);
    const factors = Object.fromEntries(FACTORS.map((name) => [name, 2 ** Number(field(name).value)]));
    return {
      ...factors, mallet: this.picture.mallet, seconds: SECONDS, rate: RATE,
      force: typeof force === "number" ? newtons : force.map((f) => (f * newtons) / was),
      ...(code === "" ? {} : { code: Number(code), matter: this.data.codebook[Number(code)] }),
    };
  }

  /** Strikes what was struck last with what the sliders say now. */
  async #sound() {
    if (!this.#knock) return;
    const { physics } = this.#knock;
    const settings = this.settings();
    this.#facts(physics, settings);
    find("away").textContent = push(physics, settings.force) > 0 ? "" : this.texts.say("away");
    const samples = strike(physics, settings);
    const rings = modes(physics, settings);
    this.#scope?.show(samples, RATE, rings);
    document.dispatchEvent(new CustomEvent("struck", { detail: { samples, rate: RATE, physics, settings } }));
    await this.engine.once(samples);
  }

  /**
   * @param {Physics} physics
   * @param {import("./strike.js").Settings} settings
   */
  #facts(physics, settings) {
    const p = changed(physics, settings);
    const { frequency, t60 } = modes(physics, settings);
    const spread = Math.exp(1.2816 * p.log_f1_std); // to the 10th and the 90th percentile
    const rows = [
      ["pitch", `${three(frequency[0])} Hz`],
      ["rings", `${three(Math.max(...t60))} s`],
      ["weighs", `${three(p.density * p.fill * p.size_m ** 3)} kg`],
      ["large", `${three(100 * p.size_m)} cm`],
      ["hollow", `${Math.round(100 * p.hollow)} %`],
      ["materialCode", String(p.code)],
    ].map(([key, value]) => element("div", {}, element("dt", {}, this.texts.say(key)), element("dd", {}, value)));
    const between = { low: three(frequency[0] / spread), high: three(frequency[0] * spread) };
    const notes = [this.texts.say("between", between)];
    if (p.struck === "surround") notes.push(this.texts.say("surround"));
    find("facts").replaceChildren(...rows, element("div", { class: "wide" }, notes.join(" · ")));
  }

  #fillCodes() {
    const choice = /** @type {HTMLSelectElement} */ (find("code"));
    const was = choice.value;
    const seen = String(this.#knock?.physics.code ?? "");
    choice.replaceChildren(
      element("option", { value: "" }, this.texts.say("seenCode", { code: seen })),
      ...this.data.codebook.map((_, k) => element("option", { value: `${k}` }, this.texts.say("otherCode", { code: k }))),
    );
    choice.value = was;
  }

  // --- what is on the page ---

  #makeStems() {
    [...this.data.parts, null].forEach((part, k) => {
      const dot = element("span", { class: "dot" });
      if (part) dot.style.setProperty("--colour", this.colour(k));
      const level = element("input", { type: "range", id: `level-${k}`, min: "-24", max: "12", step: "1", value: "0" });
      level.addEventListener("input", () => this.engine.playing && this.#levels());
      const toggles = /** @type {const} */ (["solo", "mute"]).map((what) => {
        const button = element("button", { type: "button", class: "toggle", id: `${what}-${k}`, "aria-pressed": "false" });
        button.addEventListener("click", () => {
          const on = button.getAttribute("aria-pressed") !== "true";
          button.setAttribute("aria-pressed", String(on));
          if (what === "solo") {
            if (on) this.#solos.add(k);
            else this.#solos.delete(k);
            this.#showSolos();
          } else if (this.engine.playing) this.#levels();
        });
        return button;
      });
      const name = element("span", { class: "name", id: `name-${k}` });
      const wave = element("canvas", { id: `wave-${k}`, "aria-hidden": "true" });
      find("stems").append(element("li", { class: "stem" }, dot, name, ...toggles, wave, level));
    });
  }

  /**
   * @param {number} k
   * @param {AudioBuffer} buffer
   */
  #drawWave(k, buffer) {
    const canvas = /** @type {HTMLCanvasElement} */ (find(`wave-${k}`));
    const [width, height] = [360, 68];
    [canvas.width, canvas.height] = [width, height];
    const draw = canvas.getContext("2d");
    if (!draw) return;
    draw.fillStyle = k < this.data.parts.length ? this.colour(k) : "#8c8c98";
    const samples = buffer.getChannelData(0);
    const each = samples.length / width;
    const peaks = Array.from({ length: width }, (_, x) => {
      let most = 0;
      for (let i = Math.floor(x * each); i < (x + 1) * each; i++) most = Math.max(most, Math.abs(samples[i] ?? 0));
      return most;
    });
    const most = Math.max(...peaks, 1e-6);
    peaks.forEach((peak, x) => {
      const tall = Math.max(1, (peak / most) * height * 0.9);
      if (x % 3 < 2) draw.fillRect(x, (height - tall) / 2, 1, tall);
    });
  }

  #makeSliders() {
    const box = find("sliders");
    const slide = (/** @type {string} */ id, /** @type {string} */ key, /** @type {Record<string, string>} */ range) => {
      const input = element("input", { type: "range", id, ...range });
      const told = element("output", { id: `${id}-told` });
      input.addEventListener("input", () => this.#slid());
      box.append(element("label", { class: "slide" }, element("span", { "data-text": key }), told, input));
    };
    for (const name of FACTORS) {
      const key = `factor${name[0].toUpperCase()}${name.slice(1)}`;
      slide(name, key, { min: "-2", max: "2", step: "0.05", value: "0" });
    }
    slide("force", "force", { min: "0.5", max: "40", step: "0.1", value: "5" });
    const code = element("select", { id: "code", "data-label": "materialCode" });
    code.addEventListener("change", () => this.#slid());
    box.append(code);
    this.#tellSliders();
  }

  #tellSliders() {
    for (const name of FACTORS) find(`${name}-told`).textContent = `× ${three(2 ** Number(field(name).value))}`;
    find("force-told").textContent = `${three(Number(field("force").value))} N`;
  }

  /** A slider moves: the sound follows, but not more often than can be heard apart. */
  #slid() {
    this.#tellSliders();
    window.clearTimeout(this.#resound);
    this.#resound = window.setTimeout(() => void this.#sound(), 70);
  }

  /** @param {"place" | "knock"} tool */
  #chooseTool(tool) {
    this.picture.tool = tool;
    find("mallets").hidden = tool !== "knock";
    this.#choices();
  }

  #choices() {
    const { picture, texts } = this;
    const group = (
      /** @type {string} */ id, /** @type {[string, string][]} */ options, /** @type {string} */ chosen,
      /** @type {(value: string) => void} */ choose,
    ) => {
      const had = find(id).contains(document.activeElement);
      const buttons = options.map(([value, key]) => {
        const on = value === chosen;
        const button = element("button", { type: "button", role: "radio", "aria-checked": String(on), id: `${id}-${value}` });
        button.textContent = texts.say(key);
        button.tabIndex = on ? 0 : -1;
        button.addEventListener("click", () => choose(value));
        button.addEventListener("keydown", (event) => {
          const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
          if (!step) return;
          event.preventDefault();
          const at = options.findIndex(([other]) => other === value);
          choose(options[(at + step + options.length) % options.length][0]);
        });
        return button;
      });
      find(id).replaceChildren(...buttons);
      if (had) buttons.find((button) => button.tabIndex === 0)?.focus();
    };
    /** @type {[string, string][]} */
    const tools = this.data.parts.length > 0 ? [["place", "listen"], ["knock", "knock"]] : [["knock", "knock"]];
    group("tools", tools, picture.tool, (value) => this.#chooseTool(value === "knock" ? "knock" : "place"));
    group("mallets", Object.keys(MALLETS).map((name) => [name, name]), picture.mallet, (value) => {
      picture.mallet = value;
      this.#choices();
    });
    find("tools").setAttribute("aria-label", texts.say("tools"));
    find("mallets").setAttribute("aria-label", texts.say("mallet"));
    find("help").textContent = texts.say(picture.tool === "knock" ? "knockHelp" : "listenHelp");
  }

  #wire() {
    const { picture, plan, engine } = this;
    picture.root.addEventListener("place", (event) => {
      const place = /** @type {CustomEvent} */ (event).detail;
      const region = picture.regionAt(place);
      this.#alone(region);
      picture.ring(place, region === null ? "#fff8e8" : this.colour(region));
      if (!engine.playing) void this.play(true);
    });
    picture.root.addEventListener("knock", (event) => void this.#knocked(/** @type {CustomEvent} */ (event).detail));
    plan.root.addEventListener("listener", (event) => void this.#walked(/** @type {CustomEvent} */ (event).detail));
    find("play").addEventListener("click", () => void this.play(!engine.playing));
    field("volume").addEventListener("input", () => engine.setVolume(Number(field("volume").value)));
    field("walking").addEventListener("change", () => engine.setBinaural(field("walking").checked));
    find("again").addEventListener("click", () => {
      if (this.#knock) picture.ring(this.#knock);
      void this.#sound();
    });
    find("reset").addEventListener("click", () => {
      for (const name of FACTORS) field(name).value = "0";
      field("code").value = "";
      this.#slid();
    });
    find("record").addEventListener("click", () => {
      plan.record(!plan.recording);
      find("record").dataset.text = plan.recording ? "recordStop" : "record";
      find("record").textContent = this.texts.say(plan.recording ? "recordStop" : "record");
      field("replay").disabled = plan.recording || plan.path.length < 2;
    });
    find("replay").addEventListener("click", () => plan.replay());
    find("home").addEventListener("click", () => plan.setListener({ x: 0, y: 0, z: 0, yaw: 0 }));
    find("language").addEventListener("click", () => this.texts.toggle());
    find("theme").addEventListener("click", () => {
      const root = document.documentElement;
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      plan.refresh();
    });
  }

  /** Says everything in the language of now. */
  #say() {
    const { texts, data } = this;
    document.documentElement.lang = texts.language === "zh" ? "zh-CN" : "en";
    texts.apply(document);
    this.#choices();
    for (let k = 0; k <= data.parts.length; k++) {
      const part = data.parts[k];
      const name = part ? texts.say("part", { n: k + 1 }) : texts.say("bed");
      const sure = part ? texts.say("sure", { percent: Math.round(100 * part.confidence) }) : "";
      find(`name-${k}`).replaceChildren(name, " ", element("small", {}, sure));
      find(`level-${k}`).setAttribute("aria-label", texts.say("level", { name }));
      for (const what of ["mute", "solo"]) {
        find(`${what}-${k}`).textContent = texts.say(`${what}Short`);
        find(`${what}-${k}`).setAttribute("aria-label", texts.say(what, { name }));
      }
    }
    const { models, seed } = data.made;
    find("about").textContent = texts.say("about", {
      models: models.map(({ name }) => name).join(", "), seed,
      licences: [...new Set(models.map(({ licence }) => licence))].join(", "),
    });
    if (this.#scope) this.#scope.label = texts.say("scope");
    if (this.#knock) {
      this.#fillCodes();
      this.#facts(this.#knock.physics, this.settings());
    }
  }
}

const page = new Page(JSON.parse(find("data").textContent ?? ""));
Object.assign(globalThis, { synesthesia: page });
await page.start();
