// The scene from above: the camera looks up the page, sources stand where they sound from, and somebody walks.

import { Texts } from "./texts.js";

/** @typedef {import("./ears.js").Pose} Pose */

/** @typedef {Pose & {t: number}} Step a pose and when it was taken, in seconds from the path's beginning */

/**
 * @typedef {object} PlanScene
 * @property {{position: number[], width: number, colour: string, name?: string}[]} sources metres in scene axes
 * @property {number[][][]} [walls] from [x, z] to [x, z]
 * @property {number} [across] the camera's horizontal field of view in degrees
 */

const STEP_M = 0.5;
const TURN_DEG = 15;
const SCOPE_M = 400; // nobody walks farther
const HANDLE = 34; // CSS pixels from the listener to the dot that turns them

/** Events on the root: `listener` {x, y, z, yaw} while they move; `path` {steps} when a recording ends. */
export class Plan {
  /** @type {PlanScene} */
  #scene = { sources: [] };
  /** @type {Pose} */
  #listener = { x: 0, y: 0, z: 0, yaw: 0 };
  /** @type {Step[]} */
  #path = [];
  #recording = false;
  #began = 0;
  #replaying = 0;
  #metres = 12; // from the middle of the view to its nearer edge
  #middle = { x: 0, z: -4 };
  /** @type {"walk" | "turn" | "pan" | null} */
  #hold = null;
  #last = { x: 0, y: 0 };
  #dirty = false;
  #controller = new AbortController();

  /**
   * @param {HTMLElement} root is filled
   * @param {{texts?: Texts}} [options]
   */
  constructor(root, { texts = new Texts() } = {}) {
    this.root = root;
    this.texts = texts;
    root.classList.add("syn-plan");
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.live = document.createElement("span");
    this.live.className = "syn-hidden";
    this.live.setAttribute("aria-live", "polite");
    root.replaceChildren(this.canvas, this.live);
    this.observer = new ResizeObserver(() => this.#later());
    this.observer.observe(root);
    const options = { signal: this.#controller.signal };
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event), options);
    this.canvas.addEventListener("pointermove", (event) => this.#move(event), options);
    this.canvas.addEventListener("pointerup", () => (this.#hold = null), options);
    this.canvas.addEventListener("pointercancel", () => (this.#hold = null), options);
    this.canvas.addEventListener("keydown", (event) => this.#key(event), options);
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300));
    }, { ...options, passive: false });
    texts.addEventListener("language", () => this.refresh(), options);
    this.refresh();
  }

  /** Shows a scene, large enough for all of its sources within 60 m. @param {PlanScene} scene */
  setScene(scene) {
    this.#scene = scene;
    const near = scene.sources.map(({ position }) => Math.hypot(position[0], position[2])).filter((m) => m <= 60);
    this.#metres = Math.max(6, 0.62 * Math.max(0, ...near) + 2);
    this.#middle = { x: 0, z: -0.72 * this.#metres };
    this.#path = [];
    this.#later();
  }

  get listener() {
    return { ...this.#listener };
  }

  /**
   * Puts the listener somewhere, within the scene, and tells so.
   *
   * @param {Pose} pose
   */
  setListener(pose) {
    const far = Math.hypot(pose.x, pose.z);
    const share = far > SCOPE_M ? SCOPE_M / far : 1;
    this.#listener = { x: pose.x * share, y: pose.y, z: pose.z * share, yaw: ((pose.yaw + 540) % 360) - 180 };
    if (this.#recording) this.#path.push({ ...this.#listener, t: (performance.now() - this.#began) / 1000 });
    this.root.dispatchEvent(new CustomEvent("listener", { detail: this.listener, bubbles: true }));
    this.#later();
  }

  /** The path that was recorded last. @returns {Step[]} */
  get path() {
    return this.#path.map((step) => ({ ...step }));
  }

  get recording() {
    return this.#recording;
  }

  /** Begins or ends a recording. @param {boolean} on */
  record(on) {
    if (on === this.#recording) return;
    this.#recording = on;
    if (on) {
      this.#began = performance.now();
      this.#path = [{ ...this.#listener, t: 0 }];
    } else {
      this.#path.push({ ...this.#listener, t: (performance.now() - this.#began) / 1000 });
      this.root.dispatchEvent(new CustomEvent("path", { detail: { steps: this.path }, bubbles: true }));
    }
    this.#later();
  }

  /** Walks the recorded path again, in its own time. */
  replay() {
    const path = this.path;
    const end = path.at(-1)?.t ?? 0;
    if (path.length < 2 || this.#recording) return;
    const turn = ++this.#replaying;
    const began = performance.now();
    const go = () => {
      const t = (performance.now() - began) / 1000;
      if (turn !== this.#replaying) return;
      this.setListener(poseAt(path, t));
      if (t < end) requestAnimationFrame(go);
    };
    go();
  }

  /** @param {number} factor */
  zoom(factor) {
    this.#metres = Math.min(Math.max(this.#metres / factor, 2), SCOPE_M);
    this.#later();
  }

  dispose() {
    this.#controller.abort();
    this.observer.disconnect();
    this.#replaying++;
    this.root.replaceChildren();
  }

  // --- gestures ---

  /** @param {PointerEvent} event */
  #down(event) {
    this.#replaying++;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.#pointer(event);
    const you = this.#pixel(this.#listener.x, this.#listener.z);
    const dot = this.#dot();
    this.#last = at;
    if (Math.hypot(at.x - dot.x, at.y - dot.y) < 16) this.#hold = "turn";
    else if (Math.hypot(at.x - you.x, at.y - you.y) < 24) this.#hold = "walk";
    else this.#hold = "pan";
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const at = this.#pointer(event);
    const moved = { x: at.x - this.#last.x, y: at.y - this.#last.y };
    const metres = 1 / this.#scale();
    if (this.#hold === "walk") {
      const { x, z } = this.#listener;
      this.setListener({ ...this.#listener, x: x + moved.x * metres, z: z + moved.y * metres });
    } else if (this.#hold === "turn") {
      const you = this.#pixel(this.#listener.x, this.#listener.z);
      const yaw = (Math.atan2(you.x - at.x, you.y - at.y) * 180) / Math.PI;
      this.setListener({ ...this.#listener, yaw });
    } else if (this.#hold === "pan") {
      this.#middle = { x: this.#middle.x - moved.x * metres, z: this.#middle.z - moved.y * metres };
      this.#later();
    }
    this.#last = at;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const you = this.#listener;
    const turn = (you.yaw * Math.PI) / 180;
    const step = STEP_M * (event.shiftKey ? 4 : 1);
    const ahead = { x: -Math.sin(turn) * step, z: -Math.cos(turn) * step };
    /** @type {Record<string, Pose>} */
    const ways = {
      arrowup: { ...you, x: you.x + ahead.x, z: you.z + ahead.z },
      arrowdown: { ...you, x: you.x - ahead.x, z: you.z - ahead.z },
      arrowleft: { ...you, x: you.x + ahead.z, z: you.z - ahead.x },
      arrowright: { ...you, x: you.x - ahead.z, z: you.z + ahead.x },
      q: { ...you, yaw: you.yaw + TURN_DEG },
      e: { ...you, yaw: you.yaw - TURN_DEG },
      home: { ...you, x: 0, z: 0, yaw: 0 },
    };
    const pose = ways[event.key.toLowerCase()];
    if (pose) {
      this.#replaying++;
      this.setListener(pose);
      this.#follow();
      this.live.textContent = this.#told();
    } else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else return;
    event.preventDefault();
  }

  /** Keeps the listener in view. */
  #follow() {
    const { x, y } = this.#pixel(this.#listener.x, this.#listener.z);
    const edge = 40;
    const metres = 1 / this.#scale();
    const { clientWidth: w, clientHeight: h } = this.canvas;
    this.#middle.x += (x - Math.min(Math.max(x, edge), w - edge)) * metres;
    this.#middle.z += (y - Math.min(Math.max(y, edge), h - edge)) * metres;
  }

  // --- where things are ---

  /** CSS pixels per metre. */
  #scale() {
    return Math.min(this.canvas.clientWidth, this.canvas.clientHeight) / 2 / this.#metres || 1;
  }

  /**
   * @param {number} x
   * @param {number} z
   */
  #pixel(x, z) {
    const scale = this.#scale();
    return {
      x: this.canvas.clientWidth / 2 + (x - this.#middle.x) * scale,
      y: this.canvas.clientHeight / 2 + (z - this.#middle.z) * scale,
    };
  }

  /** Where the dot is that turns the listener. */
  #dot() {
    const you = this.#pixel(this.#listener.x, this.#listener.z);
    const turn = (this.#listener.yaw * Math.PI) / 180;
    return { x: you.x - HANDLE * Math.sin(turn), y: you.y - HANDLE * Math.cos(turn) };
  }

  /** @param {PointerEvent} event */
  #pointer(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  // --- drawing ---

  #told() {
    const { x, z, yaw } = this.#listener;
    return this.texts.say("listener", { x: x.toFixed(1), z: (-z).toFixed(1), yaw: Math.round(yaw) });
  }

  /** Draws anew, in the colours and the language of now. */
  refresh() {
    this.canvas.setAttribute("aria-label", this.texts.say("plan", { help: this.texts.say("walkHelp") }));
    this.#later();
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
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    const draw = canvas.getContext("2d");
    if (!draw || w === 0 || h === 0) return;
    [canvas.width, canvas.height] = [Math.round(w * scale), Math.round(h * scale)];
    draw.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(this.root);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim() || "#888";
    this.#drawGrid(draw, w, h, colour("--syn-line"), colour("--syn-faint"));
    this.#drawCamera(draw, colour("--syn-faint"));
    draw.strokeStyle = colour("--syn-ink");
    draw.lineWidth = 2;
    for (const [from, to] of this.#scene.walls ?? []) {
      const [a, b] = [this.#pixel(from[0], from[1]), this.#pixel(to[0], to[1])];
      draw.beginPath();
      draw.moveTo(a.x, a.y);
      draw.lineTo(b.x, b.y);
      draw.stroke();
    }
    for (const source of this.#scene.sources) this.#drawSource(draw, source, colour("--syn-card"));
    this.#drawPath(draw, colour("--syn-accent"));
    this.#drawListener(draw, colour("--syn-accent"), colour("--syn-card"));
  }

  /**
   * @param {CanvasRenderingContext2D} draw
   * @param {number} w
   * @param {number} h
   * @param {string} line
   * @param {string} faint
   */
  #drawGrid(draw, w, h, line, faint) {
    const metres = [0.5, 1, 2, 5, 10, 20, 50, 100].find((m) => m * this.#scale() > 34) ?? 200;
    draw.strokeStyle = line;
    draw.lineWidth = 1;
    draw.beginPath();
    const zero = this.#pixel(0, 0);
    const step = metres * this.#scale();
    for (let x = zero.x % step; x < w; x += step) {
      draw.moveTo(Math.round(x) + 0.5, 0);
      draw.lineTo(Math.round(x) + 0.5, h);
    }
    for (let y = zero.y % step; y < h; y += step) {
      draw.moveTo(0, Math.round(y) + 0.5);
      draw.lineTo(w, Math.round(y) + 0.5);
    }
    draw.stroke();
    draw.fillStyle = faint;
    draw.fillRect(14, h - 14, step, 2);
    draw.font = "12px system-ui, sans-serif";
    draw.textAlign = "left";
    draw.fillText(this.texts.say("metres", { n: metres }), 14, h - 20);
  }

  /**
   * @param {CanvasRenderingContext2D} draw
   * @param {string} faint
   */
  #drawCamera(draw, faint) {
    const { x, y } = this.#pixel(0, 0);
    const half = (((this.#scene.across ?? 60) / 2) * Math.PI) / 180;
    const reach = this.#metres * 1.6 * this.#scale();
    const light = draw.createRadialGradient(x, y, 0, x, y, reach);
    light.addColorStop(0, faint);
    light.addColorStop(1, "transparent");
    draw.globalAlpha = 0.22;
    draw.fillStyle = light;
    draw.beginPath();
    draw.moveTo(x, y);
    draw.arc(x, y, reach, -Math.PI / 2 - half, -Math.PI / 2 + half);
    draw.fill();
    draw.globalAlpha = 1;
    draw.fillStyle = faint;
    draw.font = "12px system-ui, sans-serif";
    draw.textAlign = "center";
    draw.fillText(this.texts.say("camera"), x, y + 30);
    draw.fillRect(x - 5, y - 3, 10, 7);
  }

  /**
   * @param {CanvasRenderingContext2D} draw
   * @param {PlanScene["sources"][number]} source
   * @param {string} card
   */
  #drawSource(draw, source, card) {
    const { position, width, colour, name } = source;
    const at = this.#pixel(position[0], position[2]);
    const { clientWidth: w, clientHeight: h } = this.canvas;
    // What is beyond the edge is shown at the edge, hollow.
    const x = Math.min(Math.max(at.x, 16), w - 16);
    const y = Math.min(Math.max(at.y, 16), h - 16);
    const seen = x === at.x && y === at.y;
    if (seen && width > 0.2) {
      const turn = Math.atan2(-position[2], position[0]);
      const half = (width / 2) * this.#scale();
      draw.strokeStyle = colour;
      draw.globalAlpha = 0.35;
      draw.lineWidth = 10;
      draw.lineCap = "round";
      draw.beginPath();
      draw.moveTo(x - half * Math.sin(turn), y - half * Math.cos(turn));
      draw.lineTo(x + half * Math.sin(turn), y + half * Math.cos(turn));
      draw.stroke();
      draw.globalAlpha = 1;
    }
    draw.beginPath();
    draw.arc(x, y, 10, 0, 2 * Math.PI);
    draw.fillStyle = seen ? colour : card;
    draw.strokeStyle = seen ? card : colour;
    draw.lineWidth = 2;
    draw.fill();
    draw.stroke();
    if (name) {
      draw.fillStyle = seen ? "#10111a" : colour;
      draw.font = "600 11px system-ui, sans-serif";
      draw.textAlign = "center";
      draw.fillText(name, x, y + 4);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} draw
   * @param {string} accent
   */
  #drawPath(draw, accent) {
    if (this.#path.length < 2) return;
    draw.strokeStyle = accent;
    draw.setLineDash([2, 6]);
    draw.lineCap = "round";
    draw.lineWidth = 3;
    draw.beginPath();
    for (const step of this.#path) {
      const { x, y } = this.#pixel(step.x, step.z);
      draw.lineTo(x, y);
    }
    draw.stroke();
    draw.setLineDash([]);
  }

  /**
   * @param {CanvasRenderingContext2D} draw
   * @param {string} accent
   * @param {string} card
   */
  #drawListener(draw, accent, card) {
    const you = this.#pixel(this.#listener.x, this.#listener.z);
    const dot = this.#dot();
    const turn = (this.#listener.yaw * Math.PI) / 180;
    draw.strokeStyle = accent;
    draw.lineWidth = 2;
    draw.beginPath();
    draw.moveTo(you.x, you.y);
    draw.lineTo(dot.x, dot.y);
    draw.stroke();
    for (const [at, size] of /** @type {[{x: number, y: number}, number][]} */ ([
      [{ x: you.x - 13 * Math.cos(turn), y: you.y + 13 * Math.sin(turn) }, 4], // ears
      [{ x: you.x + 13 * Math.cos(turn), y: you.y - 13 * Math.sin(turn) }, 4], [you, 12], [dot, 6],
    ])) {
      draw.beginPath();
      draw.arc(at.x, at.y, size, 0, 2 * Math.PI);
      draw.fillStyle = accent;
      draw.fill();
      draw.strokeStyle = card;
      draw.stroke();
    }
  }
}

/**
 * The pose of a path at a time, between its steps; the head turns the short way round.
 *
 * @param {Step[]} path times rise
 * @param {number} t seconds
 * @returns {Pose}
 */
export function poseAt(path, t) {
  const after = path.findIndex((step) => step.t > t);
  if (after <= 0) return after === 0 ? path[0] : path[path.length - 1];
  const [a, b] = [path[after - 1], path[after]];
  const share = (t - a.t) / (b.t - a.t);
  const mix = (/** @type {number} */ from, /** @type {number} */ to) => from + share * (to - from);
  const turn = ((b.yaw - a.yaw + 540) % 360) - 180;
  return { x: mix(a.x, b.x), y: mix(a.y, b.y), z: mix(a.z, b.z), yaw: a.yaw + share * turn };
}
