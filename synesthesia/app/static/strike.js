// A strike in the browser: the physics of one place, as the model told it, changed and made to sound at once.
//
// The same formulas as in synesthesia/bridges/knock.py, physics/strike.py and physics/bank.py, which name their
// sources; tests/test_export.py compares the samples.

import { fft, powerOfTwo } from "./fft.js";

/**
 * What stands at one place of a picture, in SI units; the fields of `bridges.knock.Physics` for one click.
 * @typedef {object} Physics
 * @property {number} wave_speed m/s
 * @property {number} density kg/m³
 * @property {number} loss loss factor of the material at 1 kHz
 * @property {number} loss_slope its power of frequency
 * @property {number} rest_loss the same for a body on a table
 * @property {number} rest_slope
 * @property {number[]} noise level over the modal sound, seconds to fall by 60 dB, centre in Hz
 * @property {number} size_m
 * @property {number} wall_m
 * @property {number} fill volume over size³
 * @property {number} hollow probability
 * @property {number[]} shape_frequency f·size/c of each line
 * @property {number[]} extra_loss at ANCHORS
 * @property {number[]} gain Pa for a very short push of 1 N · 1 ms
 * @property {number} log_f1_std
 * @property {number[]} support_probs hung, resting, held
 * @property {number[]} code_probs
 * @property {number} code
 * @property {number[]} normal outward
 * @property {string} struck "object" or "surround"
 */

/**
 * How to strike, and what to change first. Factors are 1 where nothing changes.
 * @typedef {object} Settings
 * @property {number | number[]} [force] newtons along the inward normal, or a vector in scene axes (x right, y up, z to
 *   the camera)
 * @property {string | number} [mallet] felt, wood, steel, or a Young's modulus in Pa
 * @property {number} [mass]
 * @property {number} [stiffness]
 * @property {number} [size]
 * @property {number} [damping]
 * @property {number} [seconds]
 * @property {number} [rate] Hz
 * @property {number} [seed] of the contact's noise
 * @property {number[]} [matter] another material: a row of the codebook, in units
 * @property {number} [code] its number
 */

/**
 * @typedef {object} Modes
 * @property {number[]} frequency Hz
 * @property {number[]} t60 seconds
 * @property {number[]} gain Pa for a very short push
 */

/** Young's moduli in Pa. @type {Readonly<Record<string, number>>} */
export const MALLETS = { felt: 2.0e7, wood: 1.0e10, steel: 2.0e11 };

const SUPPORT_HELD = { loss: 0.015, slope: -0.5 };
const ANCHOR_LOW = 50;
const ANCHOR_HIGH = 16000;
const PULSE_S = 1e-3; // of the push of 1 N for which gains are told
const FULL_SCALE = 2; // Pa
const STRIKER = { mass: 0.03, radius: 0.01 }; // kg, m

/**
 * The same object with some of its physics changed, as `Physics.with_` does.
 *
 * @param {Physics} physics
 * @param {Settings} settings
 * @returns {Physics & {damping: number}}
 */
export function changed(physics, settings) {
  const { mass = 1, stiffness = 1, size = 1, damping = 1, matter, code } = settings;
  let p = physics;
  if (matter) {
    const [wave_speed, density, loss, loss_slope, rest_loss, rest_slope, ...noise] = matter;
    const ratio = density / p.density;
    p = {
      ...p, wave_speed, density, loss, loss_slope, rest_loss, rest_slope, noise,
      gain: p.gain.map((g) => g / ratio), code: code ?? p.code, code_probs: p.code_probs.map((_, k) => Number(k === code)),
    };
  }
  return {
    ...p,
    density: p.density * mass,
    wave_speed: p.wave_speed * Math.sqrt(stiffness / mass),
    size_m: p.size_m * size,
    wall_m: p.wall_m * size,
    gain: p.gain.map((g) => g / (mass * size)),
    damping,
  };
}

/**
 * The modes of an object, changed as the settings say; frequencies rise.
 *
 * @param {Physics} physics
 * @param {Settings} [settings]
 * @returns {Modes}
 */
export function modes(physics, settings = {}) {
  const p = changed(physics, settings);
  const held = p.support_probs.indexOf(Math.max(...p.support_probs));
  const frequency = p.shape_frequency.map((s) => (s * p.wave_speed) / p.size_m);
  const t60 = frequency.map((hz) => {
    const f = Math.min(Math.max(hz, 20), 24000);
    const own = p.loss * (f / 1000) ** p.loss_slope;
    const rest = Math.max(p.rest_loss * (f / 1000) ** p.rest_slope - own, 0);
    const support = [0, rest, 2 * rest + SUPPORT_HELD.loss * (f / 1000) ** SUPPORT_HELD.slope][held];
    return 2.2 / (hz * p.damping * (own + support + between(p.extra_loss, f)));
  });
  return { frequency, t60, gain: p.gain };
}

/**
 * Losses at the anchors, interpolated in logarithms of both.
 *
 * @param {number[]} losses
 * @param {number} f
 */
function between(losses, f) {
  const last = losses.length - 1;
  const at = (Math.log(f / ANCHOR_LOW) / Math.log(ANCHOR_HIGH / ANCHOR_LOW)) * last;
  const k = Math.min(Math.max(Math.floor(at), 0), last - 1);
  const share = Math.min(Math.max(at - k, 0), 1);
  return Math.exp((1 - share) * Math.log(losses[k]) + share * Math.log(losses[k + 1]));
}

/**
 * What a strike pushes inwards, in newtons; 0 for a force that points out of the surface.
 *
 * @param {Physics} physics
 * @param {number | number[]} force
 */
export function push(physics, force) {
  if (typeof force === "number") return force;
  return Math.max(0, -force.reduce((sum, f, k) => sum + f * physics.normal[k], 0));
}

/**
 * Seconds of contact of the striker with an object, at 1 m/s (Hertz's law).
 *
 * @param {{wave_speed: number, density: number, fill: number, size_m: number}} p
 * @param {string | number} mallet
 */
export function contactSeconds(p, mallet) {
  const hardness = typeof mallet === "number" ? mallet : MALLETS[mallet];
  const mass = p.density * p.fill * p.size_m ** 3;
  const stiffness = (4 / 3 / (1 / hardness + 1 / (p.wave_speed ** 2 * p.density))) * Math.sqrt(STRIKER.radius);
  const reduced = (STRIKER.mass * mass) / (STRIKER.mass + mass);
  return 3.21 * (reduced ** 2 / stiffness ** 2) ** 0.2;
}

/**
 * The samples of a strike; full scale is 2 Pa and nothing is normalised.
 *
 * @param {Physics} physics
 * @param {Settings} [settings]
 * @returns {Float32Array}
 */
export function strike(physics, settings = {}) {
  const { force = 5, mallet = "wood", seconds = 1.5, rate = 48000, seed = 0 } = settings;
  const p = changed(physics, settings);
  const { frequency, t60, gain } = modes(physics, settings);
  const n = Math.round(seconds * rate);
  const wave = new Float64Array(n);
  const touch = contactSeconds(p, mallet);
  let power = 0;
  frequency.forEach((f, k) => {
    if (f >= 0.49 * rate) return;
    // The spectrum of a half-sine pulse of 1 N: its size, and the phase of a pulse that starts at t = 0.
    const x = f * touch;
    const gap = 1 - 4 * x * x;
    const ratio = Math.abs(gap) < 1e-6 ? Math.PI / 4 : Math.cos(Math.PI * x) / gap;
    const size = ((gain[k] * 2) / Math.PI) * (touch / PULSE_S) * ratio;
    power += size * size;
    ring(wave, size, -Math.PI * x, f / rate, Math.log(1000) / (t60[k] * rate));
  });
  const [level, fall, centre] = p.noise;
  addNoise(wave, Math.sqrt(power) * level, fall, centre, rate, touch / 3, seed);
  const scale = push(physics, force) / FULL_SCALE;
  return Float32Array.from(wave, (v) => v * scale);
}

/**
 * Adds Im(size · exp(i phase) · exp((2πi f − decay) t)).
 *
 * @param {Float64Array} wave
 * @param {number} size
 * @param {number} phase
 * @param {number} f cycles per sample
 * @param {number} decay per sample
 */
function ring(wave, size, phase, f, decay) {
  const fade = Math.exp(-decay);
  const c = fade * Math.cos(2 * Math.PI * f);
  const s = fade * Math.sin(2 * Math.PI * f);
  const until = Math.min(wave.length, Math.ceil(18 / decay)); // from there on it is 156 dB weaker
  let re = size * Math.cos(phase);
  let im = size * Math.sin(phase);
  for (let i = 0; i < until; i++) {
    wave[i] += im;
    const next = re * c - im * s;
    im = re * s + im * c;
    re = next;
  }
}

/**
 * Adds the noise of the contact: a resonance of Q = .8 around `centre` Hz that falls by 60 dB in `fall` seconds.
 *
 * Drawn from a generator of its own: the same in level and colour as Python's, not sample by sample.
 *
 * @param {Float64Array} wave
 * @param {number} level rms at its start
 * @param {number} fall
 * @param {number} centre
 * @param {number} rate
 * @param {number} attack seconds
 * @param {number} seed
 */
function addNoise(wave, level, fall, centre, rate, attack, seed) {
  const m = Math.min(wave.length, Math.floor(1.5 * fall * rate) + 1);
  const size = powerOfTwo(Math.max(m, 64));
  const re = new Float64Array(size);
  const im = new Float64Array(size);
  const random = generator(seed);
  for (let i = 0; i < size; i++) re[i] = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  fft(re, im);
  let mean = 0;
  for (let k = 0; k < size; k++) {
    const x = (Math.min(k, size - k) * rate) / size / Math.min(centre, 0.4 * rate);
    const band = k === size / 2 ? 0 : x / 0.8 / Math.sqrt((1 - x * x) ** 2 + (x / 0.8) ** 2);
    mean += (band * band) / size;
    re[k] *= band;
    im[k] *= band;
  }
  fft(re, im, true);
  const scale = level / Math.sqrt(mean);
  for (let i = 0; i < m; i++) {
    const t = i / rate;
    wave[i] += scale * re[i] * Math.exp((-Math.log(1000) / fall) * t) * (1 - Math.exp(-t / attack));
  }
}

/**
 * Numbers in [0, 1) from a seed (Mulberry32).
 *
 * @param {number} seed
 */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
