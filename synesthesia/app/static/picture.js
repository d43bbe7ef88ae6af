// A photo that can be touched: places, boxes, masks, and a mallet that is pulled back and let go.

import { Texts } from "./texts.js";

/**
 * Values over the whole picture, row by row from the top left.
 * @typedef {{rows: number, columns: number, values: ArrayLike<number>}} Grid
 */

/** @typedef {{x: number, y: number}} Place shares of the picture from the top left */

/** @typedef {{grid: Grid, colour: string, name?: string}} ColouredRegion grid: shares in [0, 1] */

/** @typedef {"place" | "box" | "mask" | "knock"} Tool */

/**
 * Events on the root, with these details: `hover` {x, y} or null; `place` {x, y}; `box` {x0, y0, x1, y1};
 * `mask` Grid of 0 and 1; `knock` {x, y, force, mallet}: force in newtons along the inward normal where the mallet was
 * not pulled back, else a vector in scene axes.
 */
export class Picture {
  #photo = new Image();
  /** @type {Tool} */
  #tool = "place";
  #zoom = 1;
  #middle = { x: 0.5, y: 0.5 };
  /** @type {(ColouredRegion & {layer: HTMLCanvasElement})[]} */
  #regions = [];
  /** @type {number | null} */
  #selected = null;
  /** @type {HTMLCanvasElement | null} */
  #heat = null;
  /** @type {HTMLCanvasElement} */
  #mask = document.createElement("canvas");
  /** @type {Place} */
  #cursor = { x: 0.5, y: 0.5 };
  #keyboard = false;
  /** @type {Place | null} */
  #corner = null;
  /** @type {Place | null} */
  #hover = null;
  /** @type {{start: Place, now: Place, from: {x: number, y: number}, pan: boolean} | null} */
  #drag = null;
  /** @type {Map<number, {x: number, y: number}>} */
  #fingers = new Map();
  /** @type {{place: Place, born: number, colour: string, size: number}[]} */
  #rings = [];
  #dirty = false;
  #controller = new AbortController();

  /**
   * @param {HTMLElement} root is filled
   * @param {{texts?: Texts}} [options]
   */
  constructor(root, { texts = new Texts() } = {}) {
    this.root = root;
    this.texts = texts;
    /** Which mallet `knock` tells. */
    this.mallet = "wood";
    /** Newtons of a knock without pulling back. */
    this.force = 5;
    /** Newtons of a mallet pulled back all the way. */
    this.most = 40;
    /** Radius of the brush as a share of the picture's width. */
    this.brush = 0.04;
    root.classList.add("syn-picture");
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.live = document.createElement("span");
    this.live.className = "syn-hidden";
    this.live.setAttribute("aria-live", "polite");
    const zooms = document.createElement("div");
    zooms.className = "syn-zooms";
    for (const [sign, key, factor] of /** @type {[string, string, number][]} */ ([["+", "zoomIn", 1.5],
      ["−", "zoomOut", 1 / 1.5]])) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.dataset.label = key;
      button.addEventListener("click", () => this.zoom(factor));
      zooms.append(button);
    }
    root.replaceChildren(this.canvas, zooms, this.live);
    this.observer = new ResizeObserver(() => this.#later());
    this.observer.observe(root);
    this.#listen();
    texts.addEventListener("language", () => this.#label(), { signal: this.#controller.signal });
    this.#label();
  }

  // --- what the host tells ---

  /**
   * @param {string} source a URL, most often data: or blob:
   */
  async setPhoto(source) {
    const photo = new Image();
    photo.src = source;
    await photo.decode();
    this.#photo = photo;
    this.root.style.setProperty("--syn-aspect", String(photo.naturalWidth / photo.naturalHeight));
    this.#regions = [];
    this.#selected = null;
    this.#heat = null;
    this.clearMask();
    this.reset();
  }

  get tool() {
    return this.#tool;
  }

  set tool(tool) {
    this.#tool = tool;
    this.#corner = null;
    this.#drag = null;
    this.canvas.dataset.tool = tool;
    this.#label();
    this.#later();
  }

  /** @param {ColouredRegion[]} regions */
  setRegions(regions) {
    this.#regions = regions.map((region) => ({ ...region, layer: tinted(region.grid, region.colour) }));
    this.#selected = null;
    this.#later();
  }

  /** Which region stands out, or none. @param {number | null} index */
  select(index) {
    this.#selected = index;
    this.#later();
  }

  /**
   * The region at a place: the one with the largest share there, if that is a third at least.
   *
   * @param {Place} place
   * @returns {number | null}
   */
  regionAt(place) {
    let best = null;
    let most = 1 / 3;
    this.#regions.forEach(({ grid }, k) => {
      const share = valueAt(grid, place);
      if (share > most) [best, most] = [k, share];
    });
    return best;
  }

  /** A heat map of shares in [0, 1] over the picture, or none. @param {Grid | null} grid */
  setHeat(grid) {
    this.#heat = grid === null ? null : heated(grid);
    this.#later();
  }

  /** The mask that was painted, at its own resolution; null where nothing was. @returns {Grid | null} */
  mask() {
    const { width, height } = this.#mask;
    const data = this.#paper()?.getImageData(0, 0, width, height).data;
    if (!data) return null;
    const values = Float32Array.from({ length: width * height }, (_, i) => Number(data[4 * i + 3] > 127));
    return values.some((v) => v > 0) ? { rows: height, columns: width, values } : null;
  }

  /** What the brush paints on; it is read as often as it is painted. */
  #paper() {
    return this.#mask.getContext("2d", { willReadFrequently: true });
  }

  clearMask() {
    const aspect = this.#photo.naturalWidth / this.#photo.naturalHeight || 1;
    this.#mask.width = Math.round(224 * Math.min(1, aspect));
    this.#mask.height = Math.round(224 / Math.max(1, aspect));
    this.#later();
  }

  /**
   * @param {number} factor
   * @param {Place} [at] stays where it is on the screen
   */
  zoom(factor, at = this.#keyboard ? this.#cursor : this.#middle) {
    const before = this.#zoom;
    this.#zoom = Math.min(Math.max(before * factor, 1), 12);
    const kept = before / this.#zoom;
    this.#look({ x: at.x + (this.#middle.x - at.x) * kept, y: at.y + (this.#middle.y - at.y) * kept });
  }

  /** Shows all of the picture. */
  reset() {
    this.#zoom = 1;
    this.#look({ x: 0.5, y: 0.5 });
  }

  /**
   * A ring that spreads from a place: something sounded there.
   *
   * @param {Place} place
   * @param {string} [colour]
   * @param {number} [size] 1 is usual
   */
  ring(place, colour = "#ffb054", size = 1) {
    this.#rings.push({ place, born: performance.now(), colour, size });
    this.#later();
  }

  dispose() {
    this.#controller.abort();
    this.observer.disconnect();
    this.root.replaceChildren();
  }

  // --- gestures ---

  #listen() {
    const { canvas } = this;
    const options = { signal: this.#controller.signal };
    canvas.addEventListener("pointerdown", (event) => this.#down(event), options);
    canvas.addEventListener("pointermove", (event) => this.#move(event), options);
    canvas.addEventListener("pointerup", (event) => this.#up(event), options);
    canvas.addEventListener("pointercancel", (event) => {
      this.#fingers.delete(event.pointerId);
      this.#drag = null;
      this.#later();
    }, options);
    canvas.addEventListener("pointerleave", () => this.#hovered(null), options);
    canvas.addEventListener("blur", () => this.#later(), options);
    canvas.addEventListener("focus", () => this.#later(), options);
    canvas.addEventListener("keydown", (event) => this.#key(event), options);
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), this.#place(event));
    }, { ...options, passive: false });
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button === 2 || !this.#photo.naturalWidth) return;
    this.#keyboard = false;
    this.canvas.setPointerCapture(event.pointerId);
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#fingers.size > 1) {
      this.#drag = null;
      return;
    }
    const start = this.#place(event);
    if (!inside(start)) return;
    this.#drag = { start, now: start, from: { x: event.clientX, y: event.clientY }, pan: event.button === 1 };
    this.#cursor = start;
    if (this.#tool === "mask" && !this.#drag.pan) this.#paint(start, start);
    this.#later();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const place = this.#place(event);
    const finger = this.#fingers.get(event.pointerId);
    if (finger && this.#fingers.size === 2) this.#pinch(event, finger);
    const drag = this.#drag;
    if (!drag) {
      this.#hovered(inside(place) ? place : null);
      return;
    }
    const moved = Math.hypot(event.clientX - drag.from.x, event.clientY - drag.from.y);
    if (this.#tool === "place" && moved > 5 && this.#zoom > 1) drag.pan = true;
    if (drag.pan) {
      this.#look({ x: this.#middle.x + drag.now.x - place.x, y: this.#middle.y + drag.now.y - place.y });
      drag.now = this.#place(event);
      return;
    }
    if (this.#tool === "mask") this.#paint(drag.now, place);
    drag.now = place;
    this.#later();
  }

  /**
   * @param {PointerEvent} event
   * @param {{x: number, y: number}} finger
   */
  #pinch(event, finger) {
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1] ?? finger;
    const before = Math.hypot(finger.x - other.x, finger.y - other.y);
    const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (before > 0) this.zoom(after / before, this.#place({ clientX: other.x, clientY: other.y }));
  }

  /** @param {PointerEvent} event */
  #up(event) {
    this.#fingers.delete(event.pointerId);
    const drag = this.#drag;
    this.#drag = null;
    this.#later();
    if (!drag || drag.pan) return;
    const end = within(drag.now);
    if (this.#tool === "place") this.#tell("place", drag.start);
    else if (this.#tool === "mask") this.#tellMask();
    else if (this.#tool === "box") this.#tellBox(drag.start, end);
    else this.#tellKnock(drag.start, this.#pull(drag));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = (event.shiftKey ? 0.1 : 0.02) / this.#zoom;
    /** @type {Record<string, [number, number]>} */
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (way) {
      const from = this.#cursor;
      this.#cursor = within({ x: from.x + way[0] * step, y: from.y + way[1] * step });
      this.#showCursor();
      this.#hovered(this.#cursor);
      if (this.#corner) this.#drag = { start: this.#corner, now: this.#cursor, from: { x: 0, y: 0 }, pan: false };
      this.live.textContent = this.texts.say("cursor", {
        x: Math.round(100 * this.#cursor.x), y: Math.round(100 * this.#cursor.y),
      });
    } else if (event.key === "Enter" || event.key === " ") this.#touch();
    else if (event.key === "+" || event.key === "=") this.zoom(1.5, this.#cursor);
    else if (event.key === "-") this.zoom(1 / 1.5, this.#cursor);
    else if (event.key === "0") this.reset();
    else if (event.key === "Escape") {
      this.#corner = null;
      this.#drag = null;
    } else return;
    event.preventDefault();
    this.#keyboard = true;
    this.#later();
  }

  /** Enter: what a click does at the cursor; of a box the first time one corner, then the other. */
  #touch() {
    const place = { ...this.#cursor };
    if (this.#tool === "place") this.#tell("place", place);
    else if (this.#tool === "knock") this.#tellKnock(place, null);
    else if (this.#tool === "mask") {
      this.#paint(place, place);
      this.#tellMask();
    } else if (this.#corner === null) this.#corner = place;
    else {
      this.#tellBox(this.#corner, place);
      this.#corner = null;
      this.#drag = null;
    }
  }

  #showCursor() {
    const half = 0.45 / this.#zoom;
    const clamp = (/** @type {number} */ middle, /** @type {number} */ v) =>
      Math.min(Math.max(middle, v - half), v + half);
    this.#look({ x: clamp(this.#middle.x, this.#cursor.x), y: clamp(this.#middle.y, this.#cursor.y) });
  }

  /** @param {Place | null} place */
  #hovered(place) {
    if (place === null && this.#hover === null) return;
    this.#hover = place;
    this.#tell("hover", place);
    this.#later();
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #tell(name, detail) {
    this.root.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }

  /**
   * @param {Place} a
   * @param {Place} b
   */
  #tellBox(a, b) {
    const [x0, x1] = [Math.min(a.x, b.x), Math.max(a.x, b.x)];
    const [y0, y1] = [Math.min(a.y, b.y), Math.max(a.y, b.y)];
    if (x1 - x0 > 0.005 && y1 - y0 > 0.005) this.#tell("box", { x0, y0, x1, y1 });
  }

  #tellMask() {
    const mask = this.mask();
    if (mask) this.#tell("mask", mask);
  }

  /**
   * @param {Place} place
   * @param {number[] | null} pulled
   */
  #tellKnock(place, pulled) {
    const force = pulled ?? this.force;
    const size = typeof force === "number" ? force : Math.hypot(...force);
    this.ring(place, "#ffb054", 0.6 + size / this.most);
    this.#tell("knock", { ...place, force, mallet: this.mallet });
  }

  /**
   * The force of a mallet that was pulled back and let go: it swings to where it was taken, and into the picture.
   *
   * @param {{start: Place, now: Place}} drag
   * @returns {number[] | null} newtons in scene axes; null where it was hardly pulled
   */
  #pull(drag) {
    const [a, b] = [this.#pixel(drag.start), this.#pixel(drag.now)];
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const share = Math.min(Math.hypot(dx, dy) / (0.35 * Math.min(this.canvas.clientWidth, this.canvas.clientHeight)), 1);
    if (share < 0.06) return null;
    const side = 0.7 / Math.hypot(dx, dy);
    const way = [-dx * side * share, dy * side * share, -1];
    const size = this.most * share ** 1.5; // half way back is a third as hard
    const length = Math.hypot(...way);
    return way.map((v) => (v / length) * size);
  }

  /**
   * @param {Place} a
   * @param {Place} b
   */
  #paint(a, b) {
    const draw = this.#paper();
    if (!draw) return;
    const { width, height } = this.#mask;
    draw.lineCap = "round";
    draw.lineWidth = 2 * this.brush * width;
    draw.beginPath();
    draw.moveTo(a.x * width, a.y * height);
    draw.lineTo(b.x * width + 0.01, b.y * height);
    draw.stroke();
  }

  // --- where things are ---

  /** Looks at a place of the picture, as near as its edges allow. @param {Place} middle */
  #look(middle) {
    const half = 0.5 / this.#zoom;
    const clamp = (/** @type {number} */ v) => Math.min(Math.max(v, half), 1 - half);
    this.#middle = { x: clamp(middle.x), y: clamp(middle.y) };
    this.#later();
  }

  /** The size of the whole picture on the screen, in CSS pixels. */
  #size() {
    const { clientWidth, clientHeight } = this.canvas;
    const { naturalWidth, naturalHeight } = this.#photo;
    const scale = Math.min(clientWidth / (naturalWidth || 1), clientHeight / (naturalHeight || 1)) * this.#zoom;
    return { width: naturalWidth * scale, height: naturalHeight * scale };
  }

  /** @param {{clientX: number, clientY: number}} event @returns {Place} */
  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.#size();
    return {
      x: this.#middle.x + (event.clientX - box.left - box.width / 2) / width,
      y: this.#middle.y + (event.clientY - box.top - box.height / 2) / height,
    };
  }

  /** @param {Place} place */
  #pixel(place) {
    const { width, height } = this.#size();
    return {
      x: this.canvas.clientWidth / 2 + (place.x - this.#middle.x) * width,
      y: this.canvas.clientHeight / 2 + (place.y - this.#middle.y) * height,
    };
  }

  // --- drawing ---

  #label() {
    /** @type {Record<Tool, string>} */
    const keys = { place: "listenHelp", box: "boxHelp", mask: "brushHelp", knock: "knockHelp" };
    const help = `${this.texts.say(keys[this.#tool])} ${this.texts.say("keysHelp")}`;
    this.canvas.setAttribute("aria-label", this.texts.say("picture", { help }));
    this.texts.apply(this.root);
  }

  #later() {
    if (this.#dirty) return;
    this.#dirty = true;
    requestAnimationFrame(() => {
      this.#dirty = false;
      this.#draw();
    });
  }

  #draw() {
    const { canvas } = this;
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    const [w, h] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
    const draw = canvas.getContext("2d");
    if (!draw || w === 0 || h === 0 || !this.#photo.naturalWidth) return;
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    draw.setTransform(scale, 0, 0, scale, 0, 0);
    draw.clearRect(0, 0, w, h);
    draw.imageSmoothingQuality = "high";
    const { width, height } = this.#size();
    const { x, y } = this.#pixel({ x: 0, y: 0 });
    const over = (/** @type {CanvasImageSource} */ layer, alpha = 1) => {
      draw.globalAlpha = alpha;
      draw.drawImage(layer, x, y, width, height);
      draw.globalAlpha = 1;
    };
    over(this.#photo);
    if (this.#heat) over(this.#heat);
    const lit = this.#hover && this.#tool === "place" ? this.regionAt(this.#hover) : null;
    this.#regions.forEach(({ layer }, k) => {
      const quiet = this.#tool === "place" ? (this.#selected === null ? 0.42 : 0.12) : 0.08;
      over(layer, k === this.#selected ? 0.75 : k === lit ? 0.65 : quiet);
    });
    if (this.#tool === "mask") over(this.#mask, 0.5);
    this.#drawGesture(draw);
    this.#drawRings(draw);
    if (this.#keyboard && document.activeElement === canvas) this.#drawCursor(draw);
  }

  /** @param {CanvasRenderingContext2D} draw */
  #drawGesture(draw) {
    const drag = this.#drag;
    if (!drag || drag.pan) return;
    const [a, b] = [this.#pixel(drag.start), this.#pixel(drag.now)];
    if (this.#tool === "box") {
      draw.fillStyle = "rgba(255, 176, 84, 0.16)";
      draw.fillRect(a.x, a.y, b.x - a.x, b.y - a.y);
      outlined(draw, () => draw.rect(a.x, a.y, b.x - a.x, b.y - a.y), 1.5);
    } else if (this.#tool === "knock") {
      const pulled = this.#pull(drag);
      const share = pulled ? Math.hypot(...pulled) / this.most : 0;
      const size = { felt: 15, wood: 11, steel: 8 }[this.mallet] ?? 11;
      outlined(draw, () => {
        draw.moveTo(a.x, a.y);
        draw.lineTo(b.x, b.y);
      }, 1.5 + 2 * share);
      outlined(draw, () => draw.arc(a.x, a.y, 6 + 26 * share, 0, 2 * Math.PI), 1.5);
      draw.fillStyle = { felt: "#c9b8a6", wood: "#b98152", steel: "#d5dae2" }[this.mallet] ?? "#b98152";
      draw.beginPath();
      draw.arc(b.x, b.y, size, 0, 2 * Math.PI);
      draw.fill();
      outlined(draw, () => draw.arc(b.x, b.y, size, 0, 2 * Math.PI), 1);
      if (pulled) label(draw, `${Math.hypot(...pulled).toFixed(1)} N`, b.x, b.y - size - 10);
    }
  }

  /** @param {CanvasRenderingContext2D} draw */
  #drawRings(draw) {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const now = performance.now();
    this.#rings = this.#rings.filter((ring) => now - ring.born < 700);
    for (const ring of this.#rings) {
      const age = (now - ring.born) / 700;
      const { x, y } = this.#pixel(ring.place);
      draw.globalAlpha = 1 - age;
      draw.strokeStyle = ring.colour;
      draw.lineWidth = 3 * (1 - age) + 0.5;
      draw.beginPath();
      draw.arc(x, y, calm ? 14 : 6 + 60 * ring.size * Math.sqrt(age), 0, 2 * Math.PI);
      draw.stroke();
      draw.globalAlpha = 1;
    }
    if (this.#rings.length > 0) this.#later();
  }

  /** @param {CanvasRenderingContext2D} draw */
  #drawCursor(draw) {
    const { x, y } = this.#pixel(this.#cursor);
    outlined(draw, () => {
      draw.arc(x, y, 9, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        draw.moveTo(x + 5 * dx, y + 5 * dy);
        draw.lineTo(x + 16 * dx, y + 16 * dy);
      }
    }, 2);
  }
}

/** @param {Place} place */
function inside(place) {
  return place.x >= 0 && place.x <= 1 && place.y >= 0 && place.y <= 1;
}

/** @param {Place} place @returns {Place} */
function within(place) {
  return { x: Math.min(Math.max(place.x, 0), 1), y: Math.min(Math.max(place.y, 0), 1) };
}

/**
 * The value of a grid at a place of the picture.
 *
 * @param {Grid} grid
 * @param {Place} place
 */
export function valueAt(grid, place) {
  const row = Math.min(Math.max(Math.floor(place.y * grid.rows), 0), grid.rows - 1);
  const column = Math.min(Math.max(Math.floor(place.x * grid.columns), 0), grid.columns - 1);
  return grid.values[row * grid.columns + column];
}

/**
 * A grid as a picture, one pixel for each value.
 *
 * @param {Grid} grid
 * @param {(value: number) => number[]} colour red, green, blue, alpha to 255
 */
function painted(grid, colour) {
  const layer = document.createElement("canvas");
  layer.width = grid.columns;
  layer.height = grid.rows;
  const picture = new ImageData(grid.columns, grid.rows);
  for (let i = 0; i < grid.values.length; i++) picture.data.set(colour(grid.values[i]), 4 * i);
  layer.getContext("2d")?.putImageData(picture, 0, 0);
  return layer;
}

/**
 * @param {Grid} grid
 * @param {string} colour #rrggbb
 */
function tinted(grid, colour) {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  return painted(grid, (v) => [r, g, b, 255 * Math.min(Math.max(v, 0), 1)]);
}

/** Dark where a value is low, warm where it is high. @param {Grid} grid */
function heated(grid) {
  return painted(grid, (v) => {
    const share = Math.min(Math.max(v, 0), 1);
    return share < 0.5 ? [10, 11, 20, 255 * 0.62 * (1 - 2 * share)] : [255, 176, 84, 255 * 0.55 * (2 * share - 1)];
  });
}

/**
 * A line that is seen on light and on dark.
 *
 * @param {CanvasRenderingContext2D} draw
 * @param {() => void} path
 * @param {number} width
 */
function outlined(draw, path, width) {
  for (const [colour, more] of /** @type {[string, number][]} */ ([["rgba(10, 11, 20, 0.7)", 2], ["#fff8e8", 0]])) {
    draw.strokeStyle = colour;
    draw.lineWidth = width + more;
    draw.beginPath();
    path();
    draw.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} draw
 * @param {string} text
 * @param {number} x
 * @param {number} y
 */
function label(draw, text, x, y) {
  draw.font = "600 13px system-ui, sans-serif";
  draw.textAlign = "center";
  draw.lineWidth = 4;
  draw.strokeStyle = "rgba(10, 11, 20, 0.8)";
  draw.strokeText(text, x, y);
  draw.fillStyle = "#fff8e8";
  draw.fillText(text, x, y);
}
