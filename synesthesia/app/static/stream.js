// Sound that comes block by block from the server, played without a seam as it comes.

import { bytesOf } from "./ears.js";
import { RATE, resampled } from "./engine.js";

/** @typedef {{audio: string, gain: number, rate: number, seconds: number}} ToldSound a WAV file of 16 bits in base64 */

/**
 * The samples of a sound as the server tells it, channel by channel.
 *
 * @param {ToldSound} told
 * @returns {Float32Array[]}
 */
export function samplesOf(told) {
  const bytes = bytesOf(told.audio);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const channels = view.getUint16(22, true);
  let at = 12;
  while (view.getUint32(at, false) !== 0x64617461) at += 8 + view.getUint32(at + 4, true); // "data"
  const frames = view.getUint32(at + 4, true) / 2 / channels;
  return Array.from({ length: channels }, (_, c) =>
    Float32Array.from({ length: frames }, (_, i) => (view.getInt16(at + 8 + 2 * (i * channels + c), true) / 32768) * told.gain));
}

/**
 * Samples one after the other.
 *
 * @param {Float32Array[]} parts
 * @returns {Float32Array<ArrayBuffer>}
 */
export function joined(parts) {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Brings blocks to the engine's rate as if they had been joined before. */
export class Stream {
  #held = new Float32Array(0);
  #skip = 0; // steps, of `down` samples in and `up` samples out, that are held but have been given out

  /** @param {number} rate Hz */
  constructor(rate) {
    let [a, b] = [RATE, rate];
    while (b > 0) [a, b] = [b, a % b];
    this.up = RATE / a;
    this.down = rate / a;
    this.margin = Math.ceil(64 / this.down) * Math.max(1, Math.ceil(this.down / this.up)); // steps the interpolator looks at
  }

  /**
   * @param {Float32Array} block
   * @param {boolean} last nothing more comes
   * @returns {Float32Array} what can be played now
   */
  push(block, last) {
    this.#held = joined([this.#held, block]);
    const { up, down, margin } = this;
    const skip = this.#skip;
    const whole = Math.floor(this.#held.length / down);
    const until = last ? whole : whole - margin;
    if (until <= skip) return new Float32Array(0);
    const out = resampled(this.#held.subarray(0, whole * down), whole * up);
    this.#skip = Math.min(until, margin);
    this.#held = this.#held.slice((until - this.#skip) * down);
    return out.slice(skip * up, until * up);
  }
}
