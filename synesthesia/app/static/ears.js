// Two ears: what a head makes of sound from every direction, by the table that comes with the package.
//
// As in synesthesia/acoustics/ears.py: responses with their onsets aligned, and when those onsets come, both
// interpolated between the directions of the table. The head is symmetric, so the left ear is all there is.

import { fft, powerOfTwo } from "./fft.js";

/**
 * The left ear's table as it is sent: int16 responses [elevations, azimuths, taps] and float32 delays in seconds, both
 * little-endian in base64. Azimuths go from −180° in even steps all the way round, positive to the left; elevations
 * from −90° to 90°.
 * @typedef {object} EarsTable
 * @property {number} rate Hz
 * @property {number} elevations
 * @property {number} azimuths
 * @property {number} taps
 * @property {number} scale of one step of the responses
 * @property {string} responses
 * @property {string} delays
 */

/**
 * @typedef {{x: number, y: number, z: number, yaw: number}} Pose metres in scene axes, degrees to the left
 */

/**
 * @typedef {{celsius: number, humidity: number, absorbing: boolean}} Air
 */

const MIDDLE_S = 0.001; // when a response has the sound reach the middle of the head
const LEAD_S = 0.0004; // that aligned responses begin before their onset
export const NEAR = 0.25; // metres; nearer than this a source becomes no louder
const WIDE_STEP = 0.12; // radians between the points that a wide source sounds from

/**
 * Bytes from base64.
 *
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function bytesOf(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

/** A head that turns directions into impulse responses. */
export class Ears {
  /** @param {EarsTable} table */
  constructor(table) {
    this.rate = table.rate;
    this.rows = table.elevations;
    this.columns = table.azimuths;
    this.taps = table.taps;
    const whole = new Int16Array(bytesOf(table.responses).buffer);
    this.responses = Float32Array.from(whole, (v) => v * table.scale);
    this.delays = new Float32Array(bytesOf(table.delays).buffer);
    if (this.responses.length !== this.rows * this.columns * this.taps) throw new RangeError("The table of ears is cut.");
    this.samples = Math.ceil(2 * MIDDLE_S * this.rate) + this.taps;
  }

  /**
   * Adds the responses of both ears to sound from (front, left, up) to `into`, `late` samples later, times `gain`.
   *
   * @param {[Float64Array, Float64Array]} into left, right
   * @param {number[]} toward a unit vector in the head's axes
   * @param {number} [gain]
   * @param {number} [late]
   */
  add(into, toward, gain = 1, late = 0) {
    const azimuth = Math.atan2(toward[1], toward[0]);
    const elevation = Math.atan2(toward[2], Math.hypot(toward[0], toward[1]));
    this.#addOne(into[0], azimuth, elevation, gain, late);
    this.#addOne(into[1], -azimuth, elevation, gain, late);
  }

  /**
   * @param {Float64Array} into
   * @param {number} azimuth
   * @param {number} elevation
   * @param {number} gain
   * @param {number} late
   */
  #addOne(into, azimuth, elevation, gain, late) {
    const column = (azimuth / (2 * Math.PI) + 0.5) * this.columns;
    const row = (elevation / Math.PI + 0.5) * (this.rows - 1);
    const c0 = Math.floor(column);
    const r0 = Math.min(Math.floor(row), this.rows - 2);
    const right = column - c0;
    const above = row - r0;
    const cells = [[0, 0, (1 - above) * (1 - right)], [0, 1, (1 - above) * right], [1, 0, above * (1 - right)],
      [1, 1, above * right]].map(([r, c, w]) => [(r0 + r) * this.columns + ((c0 + c) % this.columns), w]);
    const delay = cells.reduce((sum, [cell, w]) => sum + w * this.delays[cell], 0);
    const begin = (delay + MIDDLE_S - LEAD_S) * this.rate + late;
    const start = Math.floor(begin);
    const part = begin - start;
    // A fraction of a sample by a cubic through four samples (Lagrange): flat up to 10 kHz or so.
    const w = [
      (-part * (part - 1) * (part - 2)) / 6, ((part + 1) * (part - 1) * (part - 2)) / 2,
      (-(part + 1) * part * (part - 2)) / 2, ((part + 1) * part * (part - 1)) / 6,
    ];
    for (const [cell, weight] of cells) {
      if (weight === 0) continue;
      const from = cell * this.taps;
      for (let i = 0; i < this.taps; i++) {
        const v = this.responses[from + i] * weight * gain;
        for (let k = 0; k < 4; k++) {
          const at = start + i + k - 1;
          if (at >= 0 && at < into.length) into[at] += v * w[k];
        }
      }
    }
  }
}

/**
 * Where a place in the scene is for a listener: unit vector (front, left, up), and metres.
 *
 * @param {number[]} position
 * @param {Pose} listener
 * @returns {{toward: number[], metres: number}}
 */
export function seenFrom(position, listener) {
  const x = position[0] - listener.x;
  const y = position[1] - listener.y;
  const z = position[2] - listener.z;
  const turn = (listener.yaw * Math.PI) / 180;
  const s = Math.sin(turn);
  const c = Math.cos(turn);
  const axes = [-s * x - c * z + 1e-9, -c * x + s * z, y];
  const metres = Math.hypot(...axes);
  return { toward: axes.map((v) => v / metres), metres };
}

/**
 * How loud a source is, against one metre from a point: −6.02 dB per doubling of the distance, of a wide one only far
 * away. A disc of incoherent points has p² = ln(1 + a²/r²)/a² on its axis.
 *
 * @param {number} metres
 * @param {number} width metres
 */
export function distanceGain(metres, width) {
  const r = Math.max(metres, NEAR);
  const a = width / 2;
  return a < 1e-3 ? 1 / r : Math.sqrt(Math.log1p((a / r) ** 2)) / a;
}

/**
 * dB that a tone of `hz` loses per metre of air (ISO 9613-1:1993, eqs. 3–5), as in synesthesia/acoustics/air.py.
 *
 * @param {number} hz
 * @param {Air} air
 */
export function airLoss(hz, air) {
  if (!air.absorbing) return 0;
  const kelvin = air.celsius + 273.15;
  const ratio = kelvin / 293.15;
  const molar = air.humidity * 10 ** (-6.8346 * (273.16 / kelvin) ** 1.261 + 4.6151);
  const oxygen = 24 + (4.04e4 * molar * (0.02 + molar)) / (0.391 + molar);
  const nitrogen = ratio ** -0.5 * (9 + 280 * molar * Math.exp(-4.17 * (ratio ** (-1 / 3) - 1)));
  const f2 = hz * hz;
  const relaxing =
    (0.01275 * Math.exp(-2239.1 / kelvin)) / (oxygen + f2 / oxygen) +
    (0.1068 * Math.exp(-3352.0 / kelvin)) / (nitrogen + f2 / nitrogen);
  return 8.686 * f2 * (1.84e-11 * ratio ** 0.5 + ratio ** -2.5 * relaxing);
}

/**
 * Both ears' response to a source, with distance, width and air in it.
 *
 * A wide source sounds from several directions, each with a delay of its own, so that it does not come together in
 * one point.
 *
 * @param {Ears} ears
 * @param {{position: number[], width: number}} source
 * @param {Pose} listener
 * @param {Air} air
 * @param {number} [taken] metres whose air is in the sound already
 * @returns {[Float64Array, Float64Array]}
 */
export function earResponse(ears, source, listener, air, taken = 0) {
  const { toward, metres } = seenFrom(source.position, listener);
  const half = Math.min(Math.atan2(source.width / 2, Math.max(metres, NEAR)), Math.PI / 3);
  const beside = Math.min(Math.round(half / WIDE_STEP), 4);
  const count = 2 * beside + 1;
  const size = powerOfTwo(ears.samples + (count > 1 ? Math.ceil(0.024 * ears.rate) : 0));
  /** @type {[Float64Array, Float64Array]} */
  const out = [new Float64Array(size), new Float64Array(size)];
  const gain = distanceGain(metres, source.width) / Math.sqrt(count);
  for (let k = 0; k < count; k++) {
    const turn = beside ? ((k - beside) / beside) * half * 0.8 : 0;
    const c = Math.cos(turn);
    const s = Math.sin(turn);
    const direction = [toward[0] * c - toward[1] * s, toward[0] * s + toward[1] * c, toward[2]];
    // In no regular steps, which would be heard as a pitch.
    ears.add(out, direction, gain, Math.round(((k * 0.618034 + k * k * 0.1327) % 1) * (count - 1) * 0.0025 * ears.rate));
  }
  if (air.absorbing && metres > taken + 2) through(out, metres - taken, air, ears.rate);
  return out;
}

/**
 * What `metres` of air leave of both ears' responses.
 *
 * @param {[Float64Array, Float64Array]} both
 * @param {number} metres
 * @param {Air} air
 * @param {number} rate
 */
function through(both, metres, air, rate) {
  const [re, im] = both; // two real signals as one complex one: the filter is even, so they do not mix
  const n = re.length;
  fft(re, im);
  for (let k = 0; k < n; k++) {
    const level = 10 ** ((-airLoss((Math.min(k, n - k) * rate) / n, air) * metres) / 20);
    re[k] *= level;
    im[k] *= level;
  }
  fft(re, im, true);
}

/**
 * Both ears' response to sound from all around, mean power 1: directions round the head, each late by its own time.
 *
 * @param {Ears} ears
 * @returns {[Float64Array, Float64Array]}
 */
export function surroundResponse(ears) {
  const directions = [...Array(8).keys()].map((k) => [((22.5 + 45 * k) * Math.PI) / 180, 0]);
  for (let k = 0; k < 4; k++) {
    directions.push([((45 + 90 * k) * Math.PI) / 180, 0.87], [((45 + 90 * k) * Math.PI) / 180, -0.79]);
  }
  const size = powerOfTwo(ears.samples + Math.ceil(0.041 * ears.rate));
  /** @type {[Float64Array, Float64Array]} */
  const out = [new Float64Array(size), new Float64Array(size)];
  directions.forEach(([azimuth, elevation], k) => {
    const level = Math.cos(elevation);
    const toward = [level * Math.cos(azimuth), level * Math.sin(azimuth), Math.sin(elevation)];
    const late = Math.round(((k * 0.618034 + k * k * 0.1327) % 1) * 0.041 * ears.rate);
    ears.add(out, toward, 1 / Math.sqrt(directions.length), late);
  });
  return out;
}
