// The app's page: one photo, and a tool for each verb. What it shows comes from the server; knocks sound here.

import { addAppTexts } from "./apptexts.js";
import { bytesOf } from "./ears.js";
import { Engine, RATE } from "./engine.js";
import { Form, made } from "./forms.js";
import { Picture } from "./picture.js";
import { Plan, poseAt } from "./plan.js";
import { Scope } from "./scope.js";
import { Problem, Server } from "./server.js";
import { Stems, partColour } from "./stems.js";
import { Stream, joined, samplesOf } from "./stream.js";
import { Struck } from "./struck.js";
import { TEXTS, Texts } from "./texts.js";

/** @typedef {import("./picture.js").Grid} Grid */
/** @typedef {import("./forms.js").Tool} Tool */
/** @typedef {{photo: string, sha256: string, demo: string | null}} Opened */
/** @typedef {{verb: string, settings: Record<string, any>, whole?: boolean}} Done whole: a link repeats it */

const MADE_BY_HAND = ["knock", "hear", "locate", "see", "walk"];
const LINKED = ["knock", "hear", "walk"]; // whose settings an address can hold; others need a sound
const DRAWN = 4; // pictures of a sound at a time
const KNOCKS_KEPT = 12;
const SNAPSHOT = 1600; // pixels of the longer side of a photo that is taken here
const HEAR_S = 6; // of a place that is touched, where nothing else was set

/**
 * Shares from the server.
 *
 * @param {{rows: number, columns: number, values: string}} told
 * @returns {Grid}
 */
function gridOf({ rows, columns, values }) {
  return { rows, columns, values: Float32Array.from(bytesOf(values), (v) => v / 255) };
}

/** @param {Blob} file @returns {Promise<string>} */
function base64Of(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/**
 * @param {BlobPart} content
 * @param {string} name
 * @param {string} type
 */
function saveFile(content, name, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  made("a", { href: url, download: name }).click();
  window.setTimeout(() => URL.revokeObjectURL(url), 60000);
}

/** Sound of the microphone as a WAV file of 16 bits. @param {Float32Array} samples @param {number} rate */
function wavFile(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (/** @type {number} */ at, /** @type {string} */ name) =>
    [...name].forEach((letter, k) => view.setUint8(at + k, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.min(1, Math.max(-1, v))), true));
  return new Blob([view.buffer], { type: "audio/wav" });
}

/** The page; its parts are public for who wants to play with them from the console. */
class App {
  /** @type {Opened | null} */
  photo = null;
  /** @type {Tool[]} */
  verbs = [];
  /** @type {{sounding: Grid, alike: Grid} | null} */
  #look = null;
  /** @type {Map<string, Form>} */
  #forms = new Map();
  /** @type {{samples: Float32Array, rate: number, told: string[], sure: number, seconds: number, seed: number} | null} */
  #heard = null;
  /** @type {Scope | null} */
  #scope = null;
  /** @type {Record<string, any>[]} */
  #knocks = [];
  /** @type {Done | null} */
  #done = null;
  /** @type {Done & {demo?: string, sha256?: string} | null} */
  #wanted = null;
  #ears = false;
  #struckAt = 0; // when a mallet was let go whose sound has not come
  #staged = false;
  #busy = 0;
  #now = 0; // which sound is the newest: an older one stops coming
  /** @type {(() => Promise<void>) | null} ends a recording */
  #recorder = null;
  /** @type {Record<string, any>[]} */
  #made = [];
  /** @type {Grid | null} what was located */
  #found = null;
  /** @type {Blob | null} the sound that was looked for last */
  #sound = null;
  #drawings = 0; // of that sound

  /**
   * @param {HTMLElement} root
   * @param {import("./server.js").Functions} functions
   */
  constructor(root, functions) {
    this.root = root;
    addAppTexts();
    this.texts = new Texts();
    this.server = new Server(functions, (key) => this.texts.say(key));
    this.engine = new Engine();
    this.picture = new Picture(this.find("picture"), { texts: this.texts });
    this.plan = new Plan(this.find("plan"), { texts: this.texts });
    this.struck = new Struck(this.find("struck-card"), this.texts);
    this.stems = new Stems(this.find("stems"), this.engine, this.texts);
  }

  /** @param {string} id */
  find(id) {
    return /** @type {HTMLElement} */ (this.root.querySelector(`#${id}`));
  }

  /** @param {string} id */
  field(id) {
    return /** @type {HTMLInputElement} */ (this.find(id));
  }

  /** Shows the page before there is a photo. */
  async start() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    this.#wire();
    this.#say();
    this.texts.addEventListener("language", () => this.#say());
    this.#wanted = linked();
    await this.attempt(async () => {
      const { tools, made: weights, demos, limits } = await this.server.call("hello");
      this.verbs = tools;
      this.#made = weights;
      this.limits = limits;
      this.#makeForms();
      this.#makeDemos(demos);
      this.#say();
      document.documentElement.dataset.ready = "yes";
      if (this.#wanted?.demo) await this.open({ demo: this.#wanted.demo });
      else if (this.#wanted) this.problem("linkWants", { sha: String(this.#wanted.sha256).slice(0, 12) });
    });
  }

  // --- a photo ---

  /** @param {{file?: Blob, demo?: string}} source */
  async open({ file, demo }) {
    if (file && this.tooLarge(file, this.limits?.photo_bytes ?? Infinity)) return;
    await this.busy("opening", async () => {
      const request = file ? { file: await base64Of(file) } : { demo };
      const { picture, photo, sha256 } = await this.server.call("open", request);
      if (this.photo) void this.server.call("shut", { photo: this.photo.photo }).catch(() => undefined);
      this.photo = { photo, sha256, demo: demo ?? null };
      this.forget();
      this.find("welcome").hidden = true;
      this.find("work").hidden = false;
      this.find("other-photo").hidden = false;
      await this.picture.setPhoto(picture);
      this.chooseTool(this.picture.tool);
    });
    if (!this.photo) return;
    const wanted = this.#wanted;
    this.#wanted = null;
    void this.look();
    if (wanted && (wanted.demo ?? wanted.sha256) === (wanted.demo ? this.photo.demo : this.photo.sha256)) await this.repeat(wanted);
    else document.documentElement.dataset.opened = this.photo.photo;
  }

  /** Nothing of the photo before stays. */
  forget() {
    this.#now++;
    this.engine.clear();
    this.#look = null;
    this.#heard = null;
    this.#knocks = [];
    this.#done = null;
    this.#staged = false;
    this.#found = null;
    this.struck.clear();
    this.stems.root.replaceChildren();
    for (const id of ["heard", "stems-told", "walk-body", "play", "located", "forget-heat"]) this.find(id).hidden = true;
    this.#draws(null);
    for (const id of ["heard-none", "stems-none", "walk-help", "hear-all"]) this.find(id).hidden = false;
    this.find("tools-list").querySelectorAll("output").forEach((told) => told.replaceChildren());
    this.find("kept").textContent = "";
    this.#tellDone();
  }

  /** What would sound where; it comes after the photo and hurries nobody. */
  async look() {
    const { photo } = /** @type {Opened} */ (this.photo);
    await this.attempt(async () => {
      for await (const told of this.server.work("look", { photo })) {
        if (this.photo?.photo === photo) this.#look = { sounding: gridOf(told.sounding), alike: gridOf(told.alike) };
      }
      this.root.dataset.looked = photo;
    });
  }

  /** @param {{x: number, y: number} | null} place */
  hover(place) {
    if (this.picture.tool === "knock") return;
    const look = this.#look;
    if (this.#found || !place || !look) {
      this.picture.setHeat(this.#found);
      return;
    }
    const { rows, columns } = look.sounding;
    const at = Math.min(rows - 1, Math.floor(place.y * rows)) * columns + Math.min(columns - 1, Math.floor(place.x * columns));
    const values = Float32Array.from({ length: rows * columns }, (_, k) =>
      0.32 + 0.68 * Math.min(1, 1.5 * look.alike.values[at * rows * columns + k] * look.sounding.values[k]));
    this.picture.setHeat({ rows, columns, values });
    this.root.dataset.hover = String(Math.round(100 * look.sounding.values[at]));
  }

  // --- knocking ---

  /** @param {{x: number, y: number, force: number | number[], mallet: string}} knock */
  async knock(knock) {
    if (!this.photo) return;
    this.#struckAt = performance.now();
    await this.attempt(async () => {
      await this.engine.resume();
      const { photo } = /** @type {Opened} */ (this.photo);
      /** @type {Record<string, any>} */
      const settings = { ...this.#forms.get("knock")?.values(), at: [knock.x, knock.y], force: knock.force, hardness: knock.mallet };
      const told = await this.server.perform("strike", { photo, ...settings });
      if (this.photo?.photo !== photo) return;
      this.struck.seconds = settings.seconds ?? 1.5;
      this.struck.seed = settings.seed ?? 0;
      this.struck.show({ ...knock, physics: told.physics[0], codebook: told.codebook });
      this.#knocks = [...this.#knocks, this.#knockAsked()].slice(-KNOCKS_KEPT);
      this.done("knock", this.#knockAsked());
    });
  }

  /** What was struck last, as it sounds now, as the verb takes it. */
  #knockAsked() {
    return { ...this.#forms.get("knock")?.values(), ...this.struck.asked() };
  }

  // --- hearing ---

  /** @param {Record<string, any>} where at, box or mask */
  async hear(where) {
    if (!this.photo) return;
    const turn = ++this.#now;
    this.engine.stop();
    this.#playing(false);
    await this.busy("hearing", async (tell) => {
      await this.engine.resume();
      const set = this.#forms.get("hear")?.values() ?? {};
      /** @type {Record<string, any>} */
      const settings = { seconds: HEAR_S, ...set, ...where };
      const { photo } = /** @type {Opened} */ (this.photo);
      /** @type {Float32Array[]} */
      const parts = [];
      /** @type {Stream | null} */
      let stream = null;
      let ends = 0;
      let sure = 0;
      const play = async (/** @type {Float32Array} */ block, /** @type {number} */ rate, /** @type {boolean} */ last) => {
        stream ??= new Stream(rate);
        const ready = stream.push(block, last);
        parts.push(ready);
        if (ready.length > 0) ends = await this.engine.once(ready, RATE, ends || this.engine.context.currentTime + 0.05);
      };
      for await (const told of this.server.work("hear", { photo, ...settings }, tell)) {
        if (turn !== this.#now) {
          await this.server.cancel();
          return;
        }
        if (told.parts?.length) sure = told.parts[0].confidence;
        if (told.stems) {
          // It came whole: a loop, or what goes on from a sound.
          sure = told.stems[0]?.confidence ?? 0;
          parts.push(await this.#whole(told.mix));
          await this.engine.once(parts[0]);
        }
        if (told.block) {
          await play(samplesOf(told.block)[0], told.block.rate, false);
          tell(0, true, parts.reduce((sum, part) => sum + part.length, 0) / RATE / told.of);
        }
        if (told.sound && stream) await play(new Float32Array(0), told.sound.rate, true);
      }
      const samples = joined(parts);
      if (samples.length === 0) return;
      this.#heard = { samples, rate: RATE, told: [], sure, seconds: samples.length / RATE, seed: settings.seed ?? 0 };
      this.#showHeard();
      this.done("hear", settings);
      this.root.dispatchEvent(new CustomEvent("heard", { detail: { samples, rate: RATE, sure } }));
    });
  }

  /** @param {import("./stream.js").ToldSound} told */
  async #whole(told) {
    const buffer = await this.engine.decode(told.audio);
    return buffer.getChannelData(0).map((v) => v * told.gain);
  }

  #showHeard() {
    const heard = this.#heard;
    if (!heard) return;
    this.find("heard-none").hidden = true;
    this.find("heard").hidden = false;
    this.find("heard-told").textContent = this.texts.say(heard.sure >= 0.5 ? "heardTold" : "heardUnsure", {
      percent: Math.round(100 * heard.sure), seconds: heard.seconds.toFixed(1), seed: heard.seed,
    });
    this.#scope ??= new Scope(this.find("heard-scope"), this.texts.say("heardScope"));
    this.#scope.label = this.texts.say("heardScope");
    this.#scope.show(heard.samples, heard.rate);
  }

  /** All of the photo: stems, bed, and where they are. */
  async hearAll() {
    if (!this.photo) return;
    await this.busy("staging", async (tell) => {
      const { photo } = /** @type {Opened} */ (this.photo);
      const seed = this.#forms.get("hear")?.values().seed ?? 0;
      const began = performance.now();
      let timer = 0;
      try {
        for await (const told of this.server.work("stage", { photo, seed }, (ahead, started) => tell(ahead, started))) {
          if (told.expected !== undefined) {
            timer = window.setInterval(() => tell(0, true, Math.min(0.97, (performance.now() - began) / 1000 / (told.expected ?? 12))), 200);
          } else if (this.photo?.photo === photo) await this.showStage(told);
        }
      } finally {
        window.clearInterval(timer);
      }
    });
  }

  /** @param {any} stage what export.told_stage tells */
  async showStage(stage) {
    if (!this.#ears) {
      for await (const table of this.server.work("ears", {})) this.engine.wear(table);
      this.#ears = true;
    }
    const parts = [...stage.parts, stage.bed].map((part, k) => ({ id: String(k), ...part }));
    await this.engine.load(parts, { loop: stage.loop, air: stage.air });
    this.stems.show(stage.parts.map((/** @type {any} */ part) => part.confidence));
    this.picture.setRegions(stage.parts.map((/** @type {any} */ part, /** @type {number} */ k) => ({ grid: gridOf(part.mask), colour: partColour(k) })));
    this.plan.setScene({
      sources: stage.parts.map((/** @type {any} */ part, /** @type {number} */ k) => ({
        position: part.position, width: part.width, colour: partColour(k), name: `${k + 1}`,
      })),
      walls: stage.walls, across: stage.across,
    });
    this.plan.setListener({ x: 0, y: 0, z: 0, yaw: 0 });
    this.#staged = true;
    for (const id of ["stems-none", "walk-help", "hear-all"]) this.find(id).hidden = true;
    for (const id of ["walk-body", "play"]) this.find(id).hidden = false;
    const nothing = this.find("stems-told");
    nothing.hidden = stage.parts.length > 0;
    nothing.dataset.text = "nothing";
    nothing.textContent = this.texts.say("nothing");
    this.done("walk", { seed: stage.seed, path: [[0, 0, 0, 0]] });
    await this.play(true);
    this.root.dataset.staged = "yes";
  }

  /** @param {boolean} on */
  async play(on) {
    if (on) {
      this.stems.apply();
      await this.engine.play();
      this.#meter();
    } else this.engine.stop();
    this.#playing(on);
  }

  /** @param {boolean} on */
  #playing(on) {
    this.find("play-sign").textContent = on ? "■" : "▶";
    this.find("play-word").dataset.text = on ? "stop" : "play";
    this.find("play-word").textContent = this.texts.say(on ? "stop" : "play");
  }

  #meter() {
    if (!this.engine.playing) return;
    const { left, right } = this.engine.levels();
    for (const [id, power] of /** @type {[string, number][]} */ ([["left", left], ["right", right]])) {
      /** @type {HTMLMeterElement} */ (this.find(id)).value = Math.max(-60, 10 * Math.log10(power + 1e-9));
    }
    requestAnimationFrame(() => this.#meter());
  }

  // --- walking ---

  /** @param {{x: number, y: number, z: number, yaw: number}} pose */
  async walk(pose) {
    if (!this.#staged) return;
    const began = performance.now();
    this.engine.setListener(pose);
    this.root.dataset.walkMs = String(Math.round(performance.now() - began + this.engine.settles));
    if (this.find("walk-body").hidden || (pose.x === 0 && pose.z === 0 && pose.yaw === 0)) return;
    if (!this.field("walking").checked) {
      this.field("walking").checked = true;
      this.engine.setBinaural(true);
    }
    if (!this.engine.playing) await this.play(true);
  }

  /** The recorded path, rendered by the verb itself, as a file. */
  async render() {
    const { photo } = /** @type {Opened} */ (this.photo);
    const steps = this.plan.path;
    const seconds = Math.min(60, Math.max(1, steps.at(-1)?.t ?? 8));
    await this.busy("rendering", async (tell) => {
      // The verb passes poses at even times.
      const count = Math.min(400, Math.max(2, Math.round(seconds * 10)));
      const path = Array.from({ length: count }, (_, k) => {
        const t = (k / (count - 1)) * seconds;
        const { x, y, z, yaw } = poseAt(steps, t);
        return [x, y, z, yaw];
      });
      const seed = this.#forms.get("hear")?.values().seed ?? 0;
      const settings = { seed, seconds, ...this.#forms.get("walk")?.values(), path };
      for await (const told of this.server.work("walk", { scene: photo, ...settings }, tell)) {
        if (told.block) tell(0, true);
        if (told.sound) saveFile(bytesOf(told.sound.audio), "synesthesia-walk.wav", "audio/wav");
      }
      this.done("walk", settings);
    });
  }

  // --- locating ---

  /** @param {Blob} file */
  async locate(file) {
    if (!this.photo || this.tooLarge(file, this.limits?.sound_bytes ?? Infinity)) return;
    this.#draws(file);
    await this.busy("locating", async (tell) => {
      const { photo } = /** @type {Opened} */ (this.photo);
      const sound = await base64Of(file);
      for await (const told of this.server.work("locate", { photo, sound }, tell)) {
        this.#found = gridOf(told.heat);
        this.picture.setHeat(this.#found);
        const line = this.find("located");
        line.hidden = false;
        line.dataset.values = JSON.stringify({
          percent: Math.round(100 * told.confidence), x: Math.round(100 * told.at.x), y: Math.round(100 * told.at.y),
        });
        this.find("forget-heat").hidden = false;
        this.#tellLocated();
        this.done("locate", {});
      }
    });
  }

  #tellLocated() {
    const line = this.find("located");
    if (!line.hidden) line.textContent = this.texts.say("located", JSON.parse(line.dataset.values ?? "{}"));
  }

  // --- seeing ---

  /** A sound to draw; the pictures of the last go with it. @param {Blob | null} sound */
  #draws(sound) {
    this.#sound = sound;
    this.#drawings = 0;
    this.field("draw").disabled = sound === null;
    for (const id of ["drawn", "drawn-told"]) this.find(id).hidden = true;
  }

  /** Draws the sound: by itself, or into the photo where the brush painted. Asked again, other pictures. */
  async draw() {
    const sound = this.#sound;
    if (!sound) return;
    await this.busy("drawing", async (tell) => {
      const set = this.#forms.get("see")?.values() ?? {};
      const mask = this.picture.mask();
      const variations = mask ? 1 : DRAWN;
      const seed = (set.seed ?? 0) + variations * this.#drawings++;
      const where = mask ? { photo: this.photo?.photo, mask: maskAsked(mask) } : {};
      for await (const told of this.server.work("see", { ...set, ...where, seed, variations, sound: await base64Of(sound) }, tell)) {
        if (this.#sound !== sound) return;
        const line = this.find("drawn-told");
        line.dataset.values = JSON.stringify({ seconds: told.seconds.toFixed(1), start: told.start.toFixed(1), of: told.of.toFixed(1), seed });
        line.hidden = false;
        this.find("drawn").hidden = false;
        this.find("drawn").replaceChildren(...told.pictures.map((/** @type {{picture: string}} */ { picture }, /** @type {number} */ k) =>
          made("img", { src: picture, "data-seed": String(seed + k) })));
        this.#tellDrawn();
        this.done("see", { seed, variations });
      }
    });
  }

  #tellDrawn() {
    const line = this.find("drawn-told");
    if (line.hidden) return;
    line.textContent = this.texts.say("drawnTold", JSON.parse(line.dataset.values ?? "{}"));
    for (const one of this.find("drawn").querySelectorAll("img")) one.alt = this.texts.say("drawnOne", { seed: one.dataset.seed ?? "" });
  }

  /** Begins a recording, or ends it and looks for it. */
  async recordSound() {
    if (this.#recorder) {
      await this.#recorder();
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    } catch (error) {
      this.problem("noMicrophone", { error: error instanceof Error ? error.message : "" });
      return;
    }
    const recorder = new MediaRecorder(stream);
    /** @type {Blob[]} */
    const pieces = [];
    recorder.ondataavailable = (event) => pieces.push(event.data);
    const ended = new Promise((resolve) => (recorder.onstop = resolve));
    recorder.start();
    const button = this.find("record-sound");
    const show = (/** @type {string} */ key) => {
      button.dataset.text = key;
      button.textContent = this.texts.say(key);
    };
    const limit = window.setTimeout(() => void this.#recorder?.(), 1000 * 30);
    this.#recorder = async () => {
      this.#recorder = null;
      window.clearTimeout(limit);
      recorder.stop();
      await ended;
      stream.getTracks().forEach((track) => track.stop());
      show("recordSound");
      await this.attempt(async () => {
        // What browsers record in, the server need not read.
        const buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await new Blob(pieces).arrayBuffer());
        await this.locate(wavFile(buffer.getChannelData(0), RATE));
      });
    };
    show("recordEnd");
  }

  // --- verbs without a gesture of their own ---

  #makeForms() {
    const gestures = ["photo", "scene", "at", "box", "mask", "force", "hardness", "mass", "stiffness", "size", "damping",
      "material_code", "rate", "path"];
    for (const tool of this.verbs) {
      if (MADE_BY_HAND.includes(tool.name)) {
        const root = this.root.querySelector(`#form-${tool.name}`);
        // How many are drawn at a time the page decides; how many knocks a download holds its user does.
        const said = tool.name === "see" ? [...gestures, "variations"] : gestures;
        if (root) this.#forms.set(tool.name, new Form(/** @type {HTMLElement} */ (root), tool, said));
        continue;
      }
      this.find("more-tools").hidden = false;
      this.#makeTool(tool);
    }
  }

  /** @param {Tool} tool */
  #makeTool(tool) {
    const form = made("div", { class: "form" });
    const told = made("output", { class: "told" });
    const run = made("button", { type: "button", class: "strong", "data-text": "run" });
    const sound = tool.parameters.find(({ kind }) => kind === "sound" || kind === "photo or sound");
    const photo = tool.parameters.find(({ kind }) => kind === "photo" || kind === "photo or sound");
    const file = made("input", { type: "file", accept: "audio/*,.wav,.flac,.ogg,.mp3", "data-label": "chooseSound" });
    const title = `tool_${tool.name}`; // a verb that has just joined has no text yet
    const section = made("details", { class: "settings", id: `tool-${tool.name}` },
      made("summary", title in TEXTS.en ? { "data-text": title } : {}, tool.name),
      made("p", { class: "help" }, tool.about), ...(sound ? [file] : []), form, made("div", { class: "row" }, run), told);
    this.find("tools-list").append(section);
    this.#forms.set(tool.name, new Form(form, tool));
    run.addEventListener("click", () => void this.busy("working", async (tell) => {
      const settings = this.#forms.get(tool.name)?.values() ?? {};
      const chosen = file.files?.[0];
      if (sound && chosen) settings[sound.name] = await base64Of(chosen);
      if (photo && !(photo === sound && chosen) && (photo.required || tool.parameters.every(({ kind }) => kind !== "mask"))) {
        settings[photo.name] = this.photo?.photo;
      }
      const mask = tool.parameters.find(({ kind }) => kind === "mask");
      const painted = mask && this.picture.mask();
      if (mask && painted) {
        settings[mask.name] = maskAsked(painted);
        if (photo) settings[photo.name] = this.photo?.photo;
      }
      for await (const result of this.server.work(tool.name, settings, tell)) told.replaceChildren(shownResult(result));
      this.done(tool.name, Object.fromEntries(Object.entries(settings).filter(([, v]) => typeof v !== "string" || v.length < 200)));
    }, { name: tool.name }));
  }

  // --- keeping ---

  /**
   * Something was made. The link repeats it, unless a sound or a mask that no address can hold belongs to it.
   *
   * @param {string} verb
   * @param {Record<string, any>} settings
   */
  done(verb, settings) {
    const whole = !("mask" in settings) && LINKED.includes(verb);
    this.#done = { verb, settings, whole };
    this.#tellDone();
    history.replaceState(null, "", whole ? this.link() : location.pathname);
    this.root.dataset.done = `${verb} ${(Number(this.root.dataset.done?.split(" ")[1]) || 0) + 1}`;
  }

  /** The address that repeats the newest result. */
  link() {
    const photo = this.photo?.demo ? { demo: this.photo.demo } : { sha256: this.photo?.sha256 };
    const { verb, settings } = this.#done ?? { verb: "", settings: {} };
    const text = JSON.stringify({ ...photo, verb, settings });
    const bytes = Array.from(new TextEncoder().encode(text), (v) => String.fromCharCode(v)).join("");
    return `${location.pathname}#${btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
  }

  /** @param {Done} wanted */
  async repeat({ verb, settings }) {
    this.#forms.get(verb)?.fill(settings);
    if (verb === "hear") await this.hear(settings);
    else if (verb === "walk") {
      this.#forms.get("hear")?.fill(settings);
      await this.hearAll();
    } else if (verb === "knock" && Array.isArray(settings.at)) {
      const [x, y] = settings.at;
      this.chooseTool("knock");
      await this.knock({ x, y, force: settings.force ?? 5, mallet: String(settings.hardness ?? "wood") });
      this.struck.take(settings);
      this.struck.sound();
    }
    document.documentElement.dataset.opened = this.photo?.photo ?? "";
  }

  #tellDone() {
    const done = this.#done;
    this.find("last").textContent = done === null ? this.texts.say("lastNone") : this.texts.say("last", {
      verb: done.verb, seed: done.settings.seed ?? 0, models: this.#weights(done.verb), licences: this.#licences(done.verb),
    });
    this.field("link").disabled = !done?.whole;
    this.field("download").disabled = done === null;
  }

  /** @param {string} [verb] */
  #weights(verb) {
    const named = this.#made.filter((one) => one.verb === verb || (verb === "walk" && one.verb === "hear"));
    return [...new Set((named.length > 0 ? named : this.#made).map(({ name }) => name))].join(", ");
  }

  /** @param {string} [verb] */
  #licences(verb) {
    const named = this.#made.filter((one) => one.verb === verb || (verb === "walk" && one.verb === "hear"));
    return [...new Set((named.length > 0 ? named : this.#made).map(({ licence }) => licence))].join(", ");
  }

  async download() {
    await this.busy("packing", async (tell) => {
      const photo = this.photo?.photo;
      const knocks = this.#knocks.map((knock) => ({ photo, ...knock }));
      if (knocks.length > 0) knocks[knocks.length - 1] = { photo, ...this.#knockAsked() };
      for await (const told of this.server.work("pack", { photo, knocks }, tell)) {
        if (told.progress !== undefined) tell(0, true, told.progress);
        if (told.zip) {
          saveFile(bytesOf(told.zip), told.name, "application/zip");
          this.find("kept").textContent = this.texts.say("downloaded", { name: told.name });
        }
      }
    });
  }

  // --- what the page says while it works, and when something is wrong ---

  /**
   * Work that takes a while: its progress is shown, and it can be cancelled.
   *
   * @param {string} key what is said meanwhile
   * @param {(tell: (ahead: number, started: boolean, share?: number) => void) => Promise<void>} work
   * @param {Record<string, string>} [values]
   */
  async busy(key, work, values = {}) {
    const turn = ++this.#busy;
    const bar = /** @type {HTMLProgressElement} */ (this.find("progress"));
    /** @type {(ahead: number, started: boolean, share?: number) => void} */
    const tell = (ahead, started, share) => {
      if (turn !== this.#busy) return;
      if (share === undefined) bar.removeAttribute("value");
      else bar.value = share;
      const wait = !started && ahead > 0 ? ` · ${this.texts.say("waiting", { n: ahead })}` : "";
      this.find("doing").textContent = `${this.texts.say(key, values)} …${wait}`;
    };
    this.find("busy").hidden = false;
    tell(0, true);
    await this.attempt(() => work(tell));
    if (turn === this.#busy) this.find("busy").hidden = true;
  }

  /** Does something, and tells a person what went wrong. @param {() => Promise<void>} work */
  async attempt(work) {
    this.find("problem").hidden = true;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Problem || error instanceof DOMException)) throw error;
      this.#showProblem(error.message);
    }
  }

  /** @param {string} text */
  #showProblem(text) {
    this.find("problem").textContent = text;
    this.find("problem").hidden = false;
  }

  /** @param {string} key @param {Record<string, string | number>} values */
  problem(key, values) {
    this.#showProblem(this.texts.say(key, values));
  }

  /** @param {Blob} file @param {number} most */
  tooLarge(file, most) {
    if (file.size <= most) return false;
    this.problem("tooLarge", { mb: Math.ceil(file.size / 2 ** 20), most: Math.floor(most / 2 ** 20) });
    return true;
  }

  // --- what is on the page ---

  /** @param {{name: string, picture: string}[]} demos */
  #makeDemos(demos) {
    this.find("demos").replaceChildren(...demos.map(({ name, picture }) => {
      const button = made("button", { type: "button", "data-demo": name }, made("img", { src: picture, alt: "" }));
      button.addEventListener("click", () => void this.open({ demo: name }));
      return button;
    }));
  }

  /** @param {import("./picture.js").Tool} tool */
  chooseTool(tool) {
    this.picture.tool = tool;
    this.find("mallets").hidden = tool !== "knock";
    this.find("wipe").hidden = tool !== "mask";
    this.find("listen-mask").hidden = tool !== "mask";
    this.picture.setHeat(this.#found);
    this.#choices();
  }

  #choices() {
    const { picture, texts } = this;
    /** @type {(id: string, options: [string, string][], chosen: string, choose: (value: string) => void) => void} */
    const group = (id, options, chosen, choose) => {
      const had = this.find(id).contains(document.activeElement);
      const buttons = options.map(([value, key], at) => {
        const on = value === chosen;
        const button = made("button", { type: "button", role: "radio", "aria-checked": String(on), id: `${id}-${value}` }, texts.say(key));
        button.tabIndex = on ? 0 : -1;
        button.addEventListener("click", () => choose(value));
        button.addEventListener("keydown", (event) => {
          const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
          if (!step) return;
          event.preventDefault();
          choose(options[(at + step + options.length) % options.length][0]);
        });
        return button;
      });
      this.find(id).replaceChildren(...buttons);
      if (had) buttons.find((button) => button.tabIndex === 0)?.focus();
    };
    group("tools", [["place", "listen"], ["box", "box"], ["mask", "brush"], ["knock", "knock"]], picture.tool,
      (value) => this.chooseTool(/** @type {import("./picture.js").Tool} */ (value)));
    group("mallets", [["felt", "felt"], ["wood", "wood"], ["steel", "steel"]], picture.mallet, (value) => {
      picture.mallet = value;
      this.#choices();
    });
    this.find("tools").setAttribute("aria-label", texts.say("tools"));
    this.find("mallets").setAttribute("aria-label", texts.say("mallet"));
    const keys = { place: "touchHelp", box: "boxHelp", mask: "brushHelp", knock: "knockHelp" };
    this.find("help").textContent = texts.say(keys[picture.tool]);
  }

  #wire() {
    const { picture, plan, engine } = this;
    const on = (/** @type {string} */ id, /** @type {() => unknown} */ what) => this.find(id).addEventListener("click", () => void what());
    /** @type {(name: string, what: (detail: any) => unknown) => void} */
    const touched = (name, what) => picture.root.addEventListener(name, (event) => void what(/** @type {CustomEvent} */ (event).detail));
    touched("hover", (place) => this.hover(place));
    touched("place", ({ x, y }) => {
      picture.ring({ x, y }, "#fff8e8");
      return this.hear({ at: [x, y] });
    });
    touched("box", ({ x0, y0, x1, y1 }) => this.hear({ box: [x0, y0, x1, y1] }));
    touched("knock", (knock) => this.knock(knock));
    this.find("struck-card").addEventListener("sound", (event) => {
      const { samples, settings } = /** @type {CustomEvent} */ (event).detail;
      document.dispatchEvent(new CustomEvent("struck", { detail: { samples, rate: RATE, settings } }));
      void engine.once(samples);
      if (this.#done?.verb === "knock") this.done("knock", this.#knockAsked());
      if (this.#struckAt) this.root.dataset.knockMs = String(Math.round(performance.now() - this.#struckAt));
      this.#struckAt = 0;
    });
    this.stems.root.addEventListener("solo", (event) => picture.select(/** @type {CustomEvent} */ (event).detail.only));
    plan.root.addEventListener("listener", (event) => void this.walk(/** @type {CustomEvent} */ (event).detail));
    on("wipe", () => picture.clearMask());
    on("listen-mask", () => {
      const mask = picture.mask();
      return mask && this.hear({ mask: maskAsked(mask) });
    });
    on("cancel", async () => {
      this.#now++;
      await this.server.cancel();
      this.find("kept").textContent = this.texts.say("cancelled");
    });
    on("heard-again", () => {
      this.#now++;
      engine.stop();
      this.#playing(false);
      if (this.#heard) void engine.once(this.#heard.samples, this.#heard.rate);
    });
    on("heard-stop", () => {
      this.#now++;
      engine.stop();
      this.#playing(false);
    });
    on("heard-where", () => this.#heard && this.locate(wavFile(this.#heard.samples, this.#heard.rate)));
    on("again", () => {
      if (this.struck.knock) picture.ring(this.struck.knock);
      this.struck.sound();
    });
    on("reset", () => this.struck.asSeen());
    on("hear-all", () => this.hearAll());
    on("play", () => this.play(!engine.playing));
    on("record", () => {
      plan.record(!plan.recording);
      this.find("record").dataset.text = plan.recording ? "recordStop" : "record";
      this.find("record").textContent = this.texts.say(plan.recording ? "recordStop" : "record");
      for (const id of ["replay", "render"]) this.field(id).disabled = plan.recording || plan.path.length < 2;
    });
    on("replay", () => plan.replay());
    on("render", () => this.render());
    on("home", () => plan.setListener({ x: 0, y: 0, z: 0, yaw: 0 }));
    on("record-sound", () => this.recordSound());
    on("forget-heat", () => {
      this.#found = null;
      picture.setHeat(null);
      this.find("forget-heat").hidden = true;
      this.find("located").hidden = true;
    });
    on("draw", () => this.draw());
    on("link", () => this.copyLink());
    on("download", () => this.download());
    on("language", () => this.texts.toggle());
    on("theme", () => {
      const root = document.documentElement;
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      plan.refresh();
    });
    on("other-photo", () => {
      this.find("work").hidden = true;
      this.find("welcome").hidden = false;
      this.find("other-photo").hidden = true;
      engine.stop();
      this.#playing(false);
    });
    on("camera", () => this.camera());
    this.field("volume").addEventListener("input", () => engine.setVolume(Number(this.field("volume").value)));
    this.field("walking").addEventListener("change", () => engine.setBinaural(this.field("walking").checked));
    this.#files("file", (file) => this.open({ file }));
    this.#files("sound-file", (file) => this.locate(file));
    this.root.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.find("drop").classList.add("over");
    });
    for (const name of ["dragleave", "drop"]) this.root.addEventListener(name, () => this.find("drop").classList.remove("over"));
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (file) void (this.photo && file.type.startsWith("audio/") ? this.locate(file) : this.open({ file }));
    });
  }

  /** @param {string} id @param {(file: File) => Promise<void>} take */
  #files(id, take) {
    this.field(id).addEventListener("change", () => {
      const file = this.field(id).files?.[0];
      this.field(id).value = ""; // the same file can be chosen again
      if (file) void take(file);
    });
  }

  async copyLink() {
    try {
      await navigator.clipboard.writeText(new URL(this.link(), location.href).href);
      this.find("kept").textContent = this.texts.say("linkCopied");
    } catch {
      this.find("kept").textContent = this.texts.say("linkShown");
    }
  }

  /** Shows the camera's picture; touched again, takes it. */
  async camera() {
    const video = /** @type {HTMLVideoElement} */ (this.find("viewfinder"));
    const button = this.find("camera");
    const show = (/** @type {boolean} */ live) => {
      video.hidden = !live;
      button.dataset.text = live ? "shoot" : "takePhoto";
      button.textContent = this.texts.say(button.dataset.text);
    };
    if (video.srcObject instanceof MediaStream) {
      const scale = Math.min(1, SNAPSHOT / Math.max(video.videoWidth, video.videoHeight));
      const canvas = made("canvas", { width: String(Math.round(video.videoWidth * scale)), height: String(Math.round(video.videoHeight * scale)) });
      canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
      video.srcObject.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
      show(false);
      canvas.toBlob((file) => file && void this.open({ file }), "image/png");
      return;
    }
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      await video.play();
      show(true);
    } catch (error) {
      this.problem("noCamera", { error: error instanceof Error ? error.message : "" });
    }
  }

  /** Says everything in the language of now. */
  #say() {
    const { texts } = this;
    document.documentElement.lang = texts.language === "zh" ? "zh-CN" : "en";
    texts.apply(this.root);
    this.#choices();
    this.#tellDone();
    this.#tellLocated();
    this.#tellDrawn();
    this.#showHeard();
    for (const button of this.find("demos").querySelectorAll("button")) {
      button.setAttribute("aria-label", texts.say("demo", { name: button.dataset.demo?.replaceAll("_", " ") ?? "" }));
    }
    this.find("about").textContent = this.#made.length ? texts.say("about", { models: this.#weights(), licences: this.#licences() }) : "";
  }
}

/** @param {Grid} mask as the server takes it */
function maskAsked({ rows, columns, values }) {
  return { rows, columns, values: btoa(Array.from(values, (v) => String.fromCharCode(Math.round(255 * v))).join("")) };
}

/** A result of a verb that the page knows nothing about: pictures, sounds, and the rest as it is. @param {any} told @returns {Node} */
function shownResult(told) {
  if (Array.isArray(told)) return made("ul", { class: "results" }, ...told.map((one) => made("li", {}, shownResult(one))));
  if (told === null || typeof told !== "object") {
    return document.createTextNode(typeof told === "number" && !Number.isInteger(told) ? told.toFixed(3) : String(told));
  }
  if (typeof told.picture === "string") return made("img", { src: told.picture, alt: "" });
  if (typeof told.audio === "string") return made("audio", { controls: "", src: `data:audio/wav;base64,${told.audio}` });
  if (typeof told.values === "string") return document.createTextNode(`${told.rows} × ${told.columns}`);
  if (typeof told.phrase === "string" && typeof told.score === "number" && told.bearing === null) return document.createTextNode(`${told.phrase} (${told.score.toFixed(2)})`);
  const rows = Object.entries(told).filter(([name, value]) => !["made", "verb"].includes(name) && value !== null);
  if (rows.length === 1 && rows[0][0] === "result") return shownResult(rows[0][1]);
  return made("dl", { class: "rows" }, ...rows.map(([name, value]) => made("div", {}, made("dt", {}, name), made("dd", {}, shownResult(value)))));
}

/** What the page's address asks to be repeated. */
function linked() {
  try {
    const bytes = atob(location.hash.slice(1).replaceAll("-", "+").replaceAll("_", "/"));
    const told = JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))));
    return typeof told === "object" && typeof told.verb === "string" && typeof told.settings === "object" ? told : null;
  } catch {
    return null;
  }
}

/**
 * Starts the page in an element, with the functions of its server.
 *
 * @param {HTMLElement} root
 * @param {import("./server.js").Functions} functions
 */
export function start(root, functions) {
  const app = new App(root, functions);
  Object.assign(globalThis, { synesthesia: app });
  void app.start();
}
