// What sounds: stems with mute, solo and level, around a head that walks, and single knocks. Web Audio.

import { Ears, bytesOf, distanceGain, earResponse, surroundResponse } from "./ears.js";
export { strike } from "./strike.js";

/** @typedef {import("./ears.js").Pose} Pose */
/** @typedef {import("./ears.js").Air} Air */

/**
 * One part of a scene, as loud as it is heard at the camera. One without a position is heard from all around.
 * @typedef {object} Part
 * @property {string} id
 * @property {string | ArrayBuffer | AudioBuffer} audio WAV, FLAC, OGG or MP3, as bytes or in base64; or what `decode` gave
 * @property {number[]} [position] metres in scene axes
 * @property {number} [width] metres
 * @property {number} [gain] times the samples; 1 where files hold the sound as it is
 */

/**
 * @typedef {object} Voice
 * @property {AudioBuffer} buffer
 * @property {AudioBufferSourceNode | null} source
 * @property {GainNode} level
 * @property {GainNode} dry
 * @property {GainNode} wet
 * @property {number[] | null} position
 * @property {number} width
 * @property {number} undo what the distance to the camera took
 * @property {[Side, Side]} sides one sounds, the other is made ready
 * @property {number} gain
 * @property {boolean} mute
 * @property {boolean} solo
 * @property {number} db
 */

/** @typedef {{convolver: ConvolverNode, fade: GainNode}} Side */

export const RATE = 48000;
const FADE_S = 0.02; // from where the listener was to where they are
const SMOOTH_S = 0.015; // of levels, mutes and solos
/** @type {Air} */
const USUAL_AIR = { celsius: 15, humidity: 50, absorbing: true };

/**
 * Plays a scene. Nothing sounds, and no device is opened, before `load` or `strikeNow` is called after a gesture.
 */
export class Engine {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {Map<string, Voice>} */
  #voices = new Map();
  /** @type {GainNode | null} */
  #master = null;
  /** @type {AnalyserNode[]} */
  #meters = [];
  /** @type {Set<AudioBufferSourceNode>} */
  #once = new Set();
  #playing = false;
  #binaural = false;
  #loop = true;
  #moved = false;
  #nextMove = 0;
  #air = USUAL_AIR;
  #started = 0;

  /** @param {import("./ears.js").EarsTable | null} [table] without one all is mono */
  constructor(table = null) {
    this.ears = table === null ? null : new Ears(table);
    /** @type {Pose} */
    this.listener = { x: 0, y: 0, z: 0, yaw: 0 };
  }

  /** Gives the head its ears; what is loaded afterwards is heard by them. @param {import("./ears.js").EarsTable} table */
  wear(table) {
    this.ears = new Ears(table);
  }

  /** The audio context, at 48 kHz whatever the device has. */
  get context() {
    if (this.#context === null) {
      this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      const c = this.#context;
      this.#master = c.createGain();
      const split = c.createChannelSplitter(2);
      // Nobody's ears are hurt: what would be beyond full scale is held there.
      const limit = new DynamicsCompressorNode(c, { threshold: -2, knee: 0, ratio: 20, attack: 0.001, release: 0.1 });
      this.#master.channelCount = 2;
      this.#master.channelCountMode = "explicit";
      this.#master.connect(split);
      this.#master.connect(limit).connect(c.destination);
      this.#meters = [0, 1].map((side) => {
        const meter = new AnalyserNode(c, { fftSize: 2048, smoothingTimeConstant: 0 });
        split.connect(meter, side);
        return meter;
      });
    }
    return this.#context;
  }

  get #out() {
    void this.context;
    return /** @type {GainNode} */ (this.#master);
  }

  get playing() {
    return this.#playing;
  }

  /** Seconds since `play`, within the loop. */
  get time() {
    const first = this.#voices.values().next().value;
    if (!this.#playing || !first) return 0;
    const past = this.context.currentTime - this.#started;
    return this.#loop ? past % first.buffer.duration : past;
  }

  /** Has the device sound; a browser wants a gesture before. */
  async resume() {
    if (this.context.state !== "running") await this.context.resume();
  }

  /**
   * Takes the parts of a scene in place of those that were there.
   *
   * @param {Part[]} parts
   * @param {{loop?: boolean, air?: Air}} [options] loop: they repeat without a seam
   */
  async load(parts, { loop = true, air = USUAL_AIR } = {}) {
    const buffers = await Promise.all(
      parts.map(({ audio }) => (audio instanceof AudioBuffer ? audio : this.decode(audio, loop))),
    );
    this.clear();
    this.#loop = loop;
    this.#air = air;
    parts.forEach((part, k) => this.#voices.set(part.id, this.#voice(part, buffers[k])));
    this.#levels();
    this.#place(true);
  }

  /** Stops and forgets all parts. */
  clear() {
    this.stop();
    for (const voice of this.#voices.values()) voice.level.disconnect();
    this.#voices.clear();
  }

  /**
   * A sound file as a buffer at the engine's rate. Needs no gesture.
   *
   * @param {string | ArrayBuffer} audio
   * @param {boolean} [loop] the end goes on in the beginning
   */
  async decode(audio, loop = false) {
    const bytes = typeof audio === "string" ? bytesOf(audio).buffer : audio.slice(0);
    const rate = rateOf(new Uint8Array(bytes)) ?? RATE;
    // At its own rate first, so that a loop can be resampled as the circle that it is.
    const own = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
    const length = Math.round((own.length * RATE) / rate);
    const out = new AudioBuffer({ numberOfChannels: own.numberOfChannels, length, sampleRate: RATE });
    for (let k = 0; k < own.numberOfChannels; k++) {
      out.copyToChannel(resampled(own.getChannelData(k), out.length, loop), k);
    }
    return out;
  }

  /**
   * @param {Part} part
   * @param {AudioBuffer} buffer
   * @returns {Voice}
   */
  #voice(part, buffer) {
    const c = this.context;
    const [level, dry, wet] = [c.createGain(), c.createGain(), c.createGain()];
    const position = part.position ?? null;
    const width = part.width ?? 0;
    const sides = /** @type {[Side, Side]} */ ([0, 1].map(() => {
      const convolver = new ConvolverNode(c, { disableNormalization: true });
      const fade = new GainNode(c, { gain: 0 });
      wet.connect(convolver).connect(fade).connect(this.#out);
      return { convolver, fade };
    }));
    level.connect(dry).connect(this.#out);
    level.connect(wet);
    dry.gain.value = this.#binaural ? 0 : 1;
    wet.gain.value = this.#binaural ? 1 : 0;
    const undo = position === null ? 1 : 1 / distanceGain(Math.hypot(...position), width);
    return {
      buffer, source: null, level, dry, wet, position, width, undo, sides, gain: part.gain ?? 1, mute: false, solo: false,
      db: 0,
    };
  }

  /** Plays all parts together from their beginning. */
  async play() {
    await this.resume();
    this.stop();
    this.#playing = true;
    const when = this.context.currentTime + 0.01;
    this.#started = when;
    for (const voice of this.#voices.values()) {
      voice.source = new AudioBufferSourceNode(this.context, { buffer: voice.buffer, loop: this.#loop });
      voice.source.connect(voice.level);
      voice.source.start(when);
    }
  }

  stop() {
    this.#playing = false;
    for (const voice of this.#voices.values()) {
      voice.source?.stop();
      voice.source?.disconnect();
      voice.source = null;
    }
    for (const source of this.#once) source.stop();
    this.#once.clear();
  }

  /**
   * @param {string} id
   * @param {boolean} on
   */
  setMute(id, on) {
    this.#get(id).mute = on;
    this.#levels();
  }

  /**
   * @param {string} id
   * @param {boolean} on any number of parts may be solo; then only they sound
   */
  setSolo(id, on) {
    this.#get(id).solo = on;
    this.#levels();
  }

  /**
   * @param {string} id
   * @param {number} db
   */
  setLevel(id, db) {
    this.#get(id).db = db;
    this.#levels();
  }

  /**
   * How loud everything is.
   *
   * @param {number} db
   */
  setVolume(db) {
    this.#out.gain.setTargetAtTime(10 ** (db / 20), this.context.currentTime, SMOOTH_S);
  }

  /**
   * Around a head (true), or the plain mix as at the camera.
   *
   * @param {boolean} on
   */
  setBinaural(on) {
    this.#binaural = on && this.ears !== null;
    for (const voice of this.#voices.values()) {
      const now = this.context.currentTime;
      voice.dry.gain.setTargetAtTime(this.#binaural ? 0 : 1, now, SMOOTH_S);
      voice.wet.gain.setTargetAtTime(this.#binaural ? 1 : 0, now, SMOOTH_S);
    }
  }

  /**
   * Where the head is; the sound follows within 50 ms.
   *
   * @param {Pose} pose
   */
  setListener(pose) {
    this.listener = { ...pose };
    this.#place();
  }

  /** In how many milliseconds all parts will sound from where the listener is, with what the device adds. */
  get settles() {
    return 1000 * (Math.max(0, this.#nextMove - this.context.currentTime) + this.context.baseLatency);
  }

  /**
   * Mean squares of what goes to the left and to the right ear, over the last 43 ms.
   *
   * @returns {{left: number, right: number}}
   */
  levels() {
    void this.context;
    const [left, right] = this.#meters.map((meter) => {
      const samples = new Float32Array(meter.fftSize);
      meter.getFloatTimeDomainData(samples);
      return samples.reduce((sum, v) => sum + v * v, 0) / samples.length;
    });
    return { left, right };
  }

  /**
   * Plays samples once, over whatever else sounds.
   *
   * @param {Float32Array} samples
   * @param {number} [rate] Hz
   * @param {number} [when] it begins, by the context's clock; at once if that is past
   * @returns {Promise<number>} when it ends, told when it starts
   */
  async once(samples, rate = RATE, when = 0) {
    await this.resume();
    const c = this.context;
    const buffer = new AudioBuffer({ length: Math.max(1, samples.length), sampleRate: rate });
    buffer.copyToChannel(/** @type {Float32Array<ArrayBuffer>} */ (samples), 0);
    const source = new AudioBufferSourceNode(c, { buffer });
    source.connect(this.#out);
    source.onended = () => this.#once.delete(source);
    this.#once.add(source);
    const begin = Math.max(when, c.currentTime);
    source.start(begin);
    return begin + samples.length / rate;
  }

  /** Gives the device back. */
  async dispose() {
    this.clear();
    await this.#context?.close();
    this.#context = null;
  }

  /** @param {string} id */
  #get(id) {
    const voice = this.#voices.get(id);
    if (!voice) throw new RangeError(`There is no part ${id}.`);
    return voice;
  }

  #levels() {
    const solo = [...this.#voices.values()].some((voice) => voice.solo);
    for (const voice of this.#voices.values()) {
      const heard = !voice.mute && (!solo || voice.solo);
      const level = heard ? voice.gain * 10 ** (voice.db / 20) : 0;
      if (this.#playing) voice.level.gain.setTargetAtTime(level, this.context.currentTime, SMOOTH_S);
      else voice.level.gain.value = level;
    }
  }

  /**
   * Gives every part the response of where it is now. While a fade is under way, what comes meanwhile waits for its
   * end, and only the last of it counts.
   *
   * @param {boolean} [first] all at once, without a fade
   */
  #place(first = false) {
    if (this.ears === null || this.#voices.size === 0) return;
    const c = this.context;
    const wait = this.#nextMove - c.currentTime;
    if (!first && wait > 0 && c.state === "running") {
      if (!this.#moved) {
        this.#moved = true;
        setTimeout(() => {
          this.#moved = false;
          this.#place();
        }, wait * 1000);
      }
      return;
    }
    let longest = 0;
    for (const voice of this.#voices.values()) {
      const [was, next] = voice.sides;
      if (voice.position === null) {
        if (first) {
          was.convolver.buffer = this.#buffer(surroundResponse(this.ears));
          was.fade.gain.value = 1;
        }
        continue;
      }
      const source = { position: voice.position, width: voice.width };
      const taken = Math.hypot(...voice.position);
      const both = earResponse(this.ears, source, this.listener, this.#air, taken);
      for (const side of both) for (let i = 0; i < side.length; i++) side[i] *= voice.undo;
      next.convolver.buffer = this.#buffer(both);
      if (first) {
        was.fade.gain.value = 0;
        next.fade.gain.value = 1;
      } else {
        // A new convolver knows nothing of the past: it takes over once its response is filled.
        const filled = c.currentTime + both[0].length / RATE;
        for (const [side, from, to] of /** @type {[Side, number, number][]} */ ([[was, 1, 0], [next, 0, 1]])) {
          side.fade.gain.cancelScheduledValues(c.currentTime);
          side.fade.gain.setValueAtTime(from, filled);
          side.fade.gain.linearRampToValueAtTime(to, filled + FADE_S);
        }
        longest = Math.max(longest, filled + FADE_S);
      }
      voice.sides = [next, was];
    }
    this.#nextMove = longest;
  }

  /** @param {[Float64Array, Float64Array]} both */
  #buffer(both) {
    const buffer = new AudioBuffer({ numberOfChannels: 2, length: both[0].length, sampleRate: RATE });
    both.forEach((side, k) => buffer.copyToChannel(Float32Array.from(side), k));
    return buffer;
  }
}

/**
 * The rate in Hz that a WAV or FLAC file says it has; null for others.
 *
 * @param {Uint8Array} bytes
 */
export function rateOf(bytes) {
  const name = String.fromCharCode(...bytes.subarray(0, 4));
  if (name === "RIFF") return new DataView(bytes.buffer, bytes.byteOffset).getUint32(24, true);
  if (name === "fLaC") return (bytes[18] << 12) | (bytes[19] << 4) | (bytes[20] >> 4);
  return null;
}

const REACH = 24; // samples to each side that the interpolator looks at

/**
 * The same sound in another number of samples, by a Kaiser-windowed sinc.
 *
 * @param {Float32Array} samples
 * @param {number} length
 * @param {boolean} [loop] after the end comes the beginning
 * @returns {Float32Array<ArrayBuffer>}
 */
export function resampled(samples, length, loop = false) {
  const n = samples.length;
  if (length === n) return Float32Array.from(samples);
  const step = n / length;
  const narrow = Math.min(1, 1 / step); // of the band, where samples become fewer
  const reach = Math.ceil(REACH / narrow);
  /** @type {Map<number, Float64Array>} */
  const phases = new Map();
  const out = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const at = i * step;
    const start = Math.floor(at);
    const part = Math.round((at - start) * 1e7) / 1e7;
    let weights = phases.get(part);
    if (!weights) {
      weights = new Float64Array(2 * reach);
      for (let k = 0; k < 2 * reach; k++) weights[k] = narrow * kernel((k - reach + 1 - part) * narrow);
      if (phases.size < 4096) phases.set(part, weights);
    }
    let sum = 0;
    for (let k = 0; k < 2 * reach; k++) {
      let from = start + k - reach + 1;
      if (loop) from = ((from % n) + n) % n;
      else if (from < 0 || from >= n) continue;
      sum += weights[k] * samples[from];
    }
    out[i] = sum;
  }
  return out;
}

/** @param {number} x samples */
function kernel(x) {
  if (Math.abs(x) >= REACH) return 0;
  const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
  return (sinc * bessel(9 * Math.sqrt(1 - (x / REACH) ** 2))) / bessel(9);
}

/** The modified Bessel function I₀. @param {number} x */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / 2 / k) ** 2;
    sum += term;
  }
  return sum;
}
