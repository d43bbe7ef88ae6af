// A sound as a picture: its wave above, its spectrogram below, with the modes of a knock as lines.

import { fft } from "./fft.js";

const LOW_HZ = 60;
const RANGE_DB = 78;
const FRAME = 2048;
// Dark violet to warm white, even in lightness; the palette of synesthesia/picture.py.
const PALETTE = [[14, 15, 22], [38, 22, 66], [88, 28, 112], [150, 44, 118], [212, 72, 98], [246, 128, 88], [254, 196, 132],
  [255, 248, 224]];

/** Draws into an element that it fills with a canvas; redraws itself when the element changes its size. */
export class Scope {
  /** @type {Float32Array} */
  #samples = new Float32Array(0);
  #rate = 48000;
  /** @type {import("./strike.js").Modes | null} */
  #modes = null;

  /**
   * @param {HTMLElement} root
   * @param {string} label what a screen reader says
   */
  constructor(root, label = "") {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "syn-scope-canvas";
    this.canvas.setAttribute("role", "img");
    this.label = label;
    root.replaceChildren(this.canvas);
    this.observer = new ResizeObserver(() => this.#draw());
    this.observer.observe(root);
  }

  /** @param {string} label */
  set label(label) {
    this.canvas.setAttribute("aria-label", label);
  }

  /**
   * @param {Float32Array} samples
   * @param {number} rate Hz
   * @param {import("./strike.js").Modes | null} [modes]
   */
  show(samples, rate, modes = null) {
    this.#samples = samples;
    this.#rate = rate;
    this.#modes = modes;
    this.#draw();
  }

  #draw() {
    const box = this.canvas.getBoundingClientRect();
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(box.width * scale);
    const height = Math.round(box.height * scale);
    if (width < 8 || height < 8) return;
    this.canvas.width = width;
    this.canvas.height = height;
    const draw = this.canvas.getContext("2d");
    if (!draw) return;
    draw.fillStyle = `rgb(${PALETTE[0]})`;
    draw.fillRect(0, 0, width, height);
    const split = Math.round(height * 0.3);
    this.#wave(draw, width, split);
    if (this.#samples.length > 0) this.#spectrogram(draw, width, split, height);
    if (this.#modes) this.#lines(draw, this.#modes, width, split, height, scale);
  }

  /**
   * @param {CanvasRenderingContext2D} draw
   * @param {number} width
   * @param {number} height
   */
  #wave(draw, width, height) {
    const s = this.#samples;
    const peak = s.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-9);
    draw.fillStyle = "#ffb054";
    for (let x = 0; x < width; x++) {
      let low = 0;
      let high = 0;
      const end = Math.max(Math.floor(((x + 1) * s.length) / width), Math.floor((x * s.length) / width) + 1);
      for (let i = Math.floor((x * s.length) / width); i < end && i < s.length; i++) {
        low = Math.min(low, s[i]);
        high = Math.max(high, s[i]);
      }
      const top = height / 2 - (high / peak) * height * 0.44;
      draw.fillRect(x, top, 1, Math.max(1, ((high - low) / peak) * height * 0.44));
    }
  }

  /**
   * @param {CanvasRenderingContext2D} draw
   * @param {number} width
   * @param {number} top
   * @param {number} bottom
   */
  #spectrogram(draw, width, top, bottom) {
    const columns = Math.min(width, 220);
    const rows = Math.min(bottom - top, 160);
    const levels = new Float64Array(columns * rows);
    const re = new Float64Array(FRAME);
    const im = new Float64Array(FRAME);
    let most = 1e-12;
    for (let column = 0; column < columns; column++) {
      const middle = ((column + 0.5) * this.#samples.length) / columns;
      for (let i = 0; i < FRAME; i++) {
        const at = Math.round(middle) + i - FRAME / 2;
        re[i] = (at >= 0 ? (this.#samples[at] ?? 0) : 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / FRAME));
      }
      im.fill(0);
      fft(re, im);
      for (let row = 0; row < rows; row++) {
        const from = (this.#hz(1 - (row + 1) / rows) * FRAME) / this.#rate;
        const to = (this.#hz(1 - row / rows) * FRAME) / this.#rate;
        let level = 0;
        for (let k = Math.floor(from); k <= to && k < FRAME / 2; k++) level = Math.max(level, re[k] ** 2 + im[k] ** 2);
        levels[row * columns + column] = level;
        most = Math.max(most, level);
      }
    }
    const picture = new ImageData(columns, rows);
    levels.forEach((level, i) => {
      const share = Math.max(0, 1 + (10 * Math.log10(level / most + 1e-30)) / RANGE_DB) * (PALETTE.length - 1);
      const k = Math.min(Math.floor(share), PALETTE.length - 2);
      for (let c = 0; c < 3; c++) {
        picture.data[4 * i + c] = PALETTE[k][c] + (share - k) * (PALETTE[k + 1][c] - PALETTE[k][c]);
      }
      picture.data[4 * i + 3] = 255;
    });
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = rows;
    small.getContext("2d")?.putImageData(picture, 0, 0);
    draw.drawImage(small, 0, top, width, bottom - top);
  }

  /**
   * @param {CanvasRenderingContext2D} draw
   * @param {import("./strike.js").Modes} modes
   * @param {number} width
   * @param {number} top
   * @param {number} bottom
   * @param {number} scale
   */
  #lines(draw, modes, width, top, bottom, scale) {
    const seconds = this.#samples.length / this.#rate;
    const most = Math.max(...modes.gain);
    const high = this.#hz(1);
    modes.frequency.forEach((f, k) => {
      if (f < LOW_HZ || f > high) return;
      const y = bottom - (Math.log(f / LOW_HZ) / Math.log(high / LOW_HZ)) * (bottom - top);
      const weak = Math.max(0, 1 + (20 * Math.log10(modes.gain[k] / most + 1e-12)) / 50);
      draw.fillStyle = `rgba(255, 255, 255, ${0.12 + 0.5 * weak})`;
      draw.fillRect(0, y, Math.min(1, modes.t60[k] / seconds) * width, scale);
    });
  }

  /** The frequency at a share of the height. @param {number} share */
  #hz(share) {
    const high = Math.min(20000, this.#rate / 2);
    return LOW_HZ * (high / LOW_HZ) ** share;
  }

  dispose() {
    this.observer.disconnect();
    this.canvas.remove();
  }
}
