// Settings of a verb as a form: what it holds follows from what the server says about the verb.

/**
 * @typedef {object} Parameter
 * @property {string} name
 * @property {string} kind
 * @property {string} help
 * @property {any} default
 * @property {boolean} required
 * @property {boolean} optional
 * @property {string[]} choices
 */

/** @typedef {{name: string, about: string, help: string, parameters: Parameter[]}} Tool */

/** Kinds that have a field; the others are said by gestures. */
const FIELDS = ["number", "whole", "yes", "choice", "text", "factor", "texts"];

/**
 * An element with attributes and what is in it.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} inside
 * @returns {HTMLElementTagNameMap[T]}
 */
export function made(tag, attributes = {}, ...inside) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.append(...inside);
  return one;
}

/** Three significant digits without an exponent. @param {number} value */
export function threeDigits(value) {
  return Math.abs(value) < 1000 ? String(Number(value.toPrecision(3))) : String(Math.round(Number(value.toPrecision(3))));
}

/** A form of a verb's settings. */
export class Form {
  /** @type {Map<string, {parameter: Parameter, field: HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement}>} */
  #fields = new Map();

  /**
   * @param {HTMLElement} root is filled
   * @param {Tool} tool
   * @param {string[]} [without] names of settings that are said otherwise
   */
  constructor(root, tool, without = []) {
    this.tool = tool;
    root.replaceChildren();
    for (const parameter of tool.parameters) {
      if (without.includes(parameter.name) || !FIELDS.includes(parameter.kind)) continue;
      const id = `set-${tool.name}-${parameter.name}`;
      const field = input(parameter, id);
      field.setAttribute("aria-describedby", `${id}-help`);
      this.#fields.set(parameter.name, { parameter, field });
      const name = made("code", {}, parameter.name);
      root.append(made("div", { class: "setting" }, made("label", { for: id }, name), field,
        made("p", { class: "help", id: `${id}-help` }, parameter.help)));
    }
    this.empty = this.#fields.size === 0;
  }

  /** What was set, without what stayed as it is by default. @returns {Record<string, any>} */
  values() {
    /** @type {Record<string, any>} */
    const out = {};
    for (const [name, { parameter, field }] of this.#fields) {
      const value = read(parameter, field);
      if (value !== null && value !== parameter.default) out[name] = value;
    }
    return out;
  }

  /** @param {Record<string, any>} values */
  fill(values) {
    for (const [name, { parameter, field }] of this.#fields) {
      const value = values[name] ?? parameter.default;
      if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = Boolean(value);
      else field.value = value === null || value === undefined ? "" : Array.isArray(value) ? value.join("\n") : String(value);
    }
  }
}

/**
 * @param {Parameter} parameter
 * @param {string} id
 */
function input(parameter, id) {
  const value = parameter.default;
  if (parameter.kind === "choice") {
    const options = parameter.optional ? ["", ...parameter.choices] : parameter.choices;
    const select = made("select", { id }, ...options.map((one) => made("option", { value: one }, one || "–")));
    select.value = value ?? "";
    return select;
  }
  if (parameter.kind === "texts") return made("textarea", { id, rows: "4" });
  const field = made("input", { id, type: parameter.kind === "yes" ? "checkbox" : parameter.kind === "text" ? "text" : "number" });
  if (parameter.kind === "yes") field.checked = Boolean(value);
  else if (value !== null) field.value = String(value);
  if (parameter.kind === "whole") field.step = "1";
  else if (field.type === "number") field.step = "any";
  return field;
}

/**
 * @param {Parameter} parameter
 * @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} field
 */
function read(parameter, field) {
  if (field instanceof HTMLInputElement && field.type === "checkbox") return field.checked;
  if (field.value.trim() === "") return null;
  if (parameter.kind === "texts") return field.value.split("\n").map((line) => line.trim()).filter(Boolean);
  return ["number", "whole", "factor"].includes(parameter.kind) ? Number(field.value) : field.value;
}
