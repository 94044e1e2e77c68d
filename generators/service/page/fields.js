// The fields of a request, shown as far as class and mode have a use for them.

import { DIFFUSION, makeControls, NUMBERS } from "./controls.js";
import { h, refill } from "./dom.js";
import { count } from "./numbers.js";
import { MODES } from "./words.js";

export class Fields {
  constructor(options, body, onChange) {
    Object.assign(this, { options, onChange, rows: new Map() }, makeControls(options, body));
    this.modes = h("fieldset", { class: "modes", id: "field-mode" });
    this.mode = body.mode;
    this.catalogChanged(body.label);
  }

  elements() {
    const row = (name, text, means = "") => this.row(name, text, means);
    const part = (title, ...rows) => h("section", { class: "part" }, h("h2", {}, title), rows);
    this.machine = part(
      "Diffusion",
      row("base", "Base model"),
      row("adapter", "Adapter", "Learnt from pictures of the class; without one, words must do."),
      this.problems(),
      row("prompt", "Words", "They must hold {defect}, where the class goes."),
      Object.entries(NUMBERS).map(([name, [text, means]]) => row(name, text, means)),
    );
    const elements = [
      part("What", row("catalog", "Pictures"), row("label", "Class"), row("count", "How many")),
      h("section", { class: "part" }, h("h2", { id: "how" }, "How"), this.modes, row("masks", "Masks")),
      this.machine,
      part(
        "Seed and title",
        row("seed", "Seed", "The same seed and settings give the same pictures."),
        row("title", "Title", "What you will know the set by."),
      ),
    ];
    this.showRows();
    return elements;
  }

  /** Why a base model or an adapter cannot be chosen. */
  problems() {
    const bad = [...this.options.bases, ...this.options.adapters].filter(({ problem }) => problem);
    return bad.map(({ name, title, problem }) =>
      h("p", { class: "soft problem" }, `${title} cannot be used: ${problem.replace(`${name}: `, "")}`),
    );
  }

  row(name, text, means) {
    const field = this[name];
    const wrong = h("p", { class: "wrong", id: `wrong-${name}` });
    const hint = means && h("p", { class: "soft", id: `hint-${name}` }, means);
    field.setAttribute("aria-describedby", `wrong-${name}${means ? ` hint-${name}` : ""}`);
    field.addEventListener(field.tagName === "SELECT" ? "change" : "input", () => this.edited(name));
    const row = h("div", { class: "row" }, h("label", { for: field.id }, text), field, wrong, hint);
    this.rows.set(name, row);
    return row;
  }

  edited(name) {
    this.say(name, "");
    if (name === "catalog") this.catalogChanged(this.label.value);
    if (name === "label") this.labelChanged();
    if (name === "adapter") this.showRows();
    this.onChange();
  }

  get chosen() {
    return this.options.catalogs.find(({ name }) => name === this.catalog.value);
  }

  catalogChanged(label) {
    const { classes } = this.chosen;
    this.label.replaceChildren(
      ...classes.map((one) =>
        h("option", { value: one.label, selected: one.label === label }, classText(one)),
      ),
    );
    this.labelChanged();
  }

  /** Offer the modes that the class allows, and the adapters that know it. */
  labelChanged() {
    for (const { name, labels, problem } of this.options.adapters) {
      const option = [...this.adapter.options].find(({ value }) => value === name);
      option.hidden = labels.length > 0 && !labels.includes(this.label.value);
      option.disabled = option.hidden || Boolean(problem);
    }
    if (this.adapter.selectedOptions[0]?.disabled) this.adapter.value = "";
    const usable = this.chosen.modes[this.label.value] ?? [];
    if (!usable.includes(this.mode)) this.mode = usable[0] ?? this.mode;
    const plates = this.chosen.plates;
    refill(
      this.modes,
      h("legend", { class: "unseen" }, "How the pictures are made"),
      this.options.modes.map(({ name }) =>
        this.modeChoice(name, this.chosen.unusable[this.label.value]?.[name] ?? ""),
      ),
      h("p", { class: "soft" }, `${count(plates)} good pictures are there as plates.`),
    );
    this.showRows();
  }

  /** `problem` says why a mode cannot be had for the class. */
  modeChoice(name, problem) {
    const radio = h("input", {
      type: "radio",
      name: "mode",
      value: name,
      id: `mode-${name}`,
      checked: name === this.mode,
      disabled: problem !== "",
    });
    radio.addEventListener("change", () => {
      this.mode = name;
      this.showRows();
      this.onChange();
    });
    return h(
      "label",
      { class: problem ? "mode off" : "mode" },
      radio,
      h(
        "span",
        {},
        h("b", {}, MODES[name].name),
        h(
          "span",
          { class: "soft" },
          MODES[name].means,
          problem && [" ", h("em", {}, `Not for this class: ${problem}.`)],
        ),
      ),
    );
  }

  /** Show the fields that the mode uses. */
  showRows() {
    if (!this.machine) return;
    const diffusion = DIFFUSION.includes(this.mode);
    this.machine.hidden = !diffusion;
    this.rows.get("masks").hidden = this.mode !== "inpaint";
    this.rows.get("prompt").hidden = this.adapter.value !== "";
    for (const [name, [, , modes]] of Object.entries(NUMBERS))
      this.rows.get(name).hidden = !modes.includes(this.mode);
  }

  /** Whether the mode has a use for a field. */
  isUsed(name) {
    const row = this.rows.get(name);
    return !row.hidden && !(row.parentElement === this.machine && this.machine.hidden);
  }

  /** The request as the service takes it. */
  body() {
    const body = { mode: this.mode };
    for (const name of this.rows.keys()) {
      const { value, type } = this[name];
      if (!this.isUsed(name) || value === "") continue;
      body[name] = type === "number" ? Number(value) : value;
    }
    return body;
  }

  /** What is wrong with a field, as far as can be said here; empty where nothing is. */
  wrongWith(name) {
    const { value, type, min, max, step, validity } = this[name];
    if (type !== "number" || !this.isUsed(name)) return "";
    if (validity.badInput) return "This is not a number.";
    if (value === "") return name === "seed" ? "" : "A number is wanted.";
    if (step === "1" && !Number.isInteger(Number(value))) return "A whole number is wanted.";
    if (min !== "" && Number(value) < Number(min)) return `At least ${min}.`;
    if (max !== "" && Number(value) > Number(max)) return `At most ${max}.`;
    return "";
  }

  isRight() {
    return [...this.rows.keys()].every((name) => !this.wrongWith(name));
  }

  /** Say what is wrong with each field, and go to the first of them. */
  check() {
    for (const name of this.rows.keys()) this.say(name, this.wrongWith(name));
    this.focusWrong();
    return this.isRight();
  }

  /** Say the service's errors at their fields; returns those that belong to none. */
  complain(errors, focus) {
    const left = [];
    for (const { pointer, detail } of errors) {
      const name = pointer.split("/").pop();
      if (this.rows.has(name) && this.isUsed(name)) this.say(name, detail);
      else left.push(`${name}: ${detail}`);
    }
    if (focus) this.focusWrong();
    return left;
  }

  clear() {
    for (const name of this.rows.keys()) this.say(name, "");
  }

  focusWrong() {
    const first = [...this.rows.keys()].find((name) => this[name].getAttribute("aria-invalid"));
    this[first]?.focus();
  }

  say(name, text) {
    const row = this.rows.get(name);
    row.querySelector(".wrong").textContent = text;
    if (text) this[name].setAttribute("aria-invalid", "true");
    else this[name].removeAttribute("aria-invalid");
  }
}

function classText({ label, defects, masks }) {
  if (!defects) return `${label} (no real picture)`;
  const bare = defects - masks;
  const drawn = bare ? `, ${bare === defects ? "none" : count(masks)} with mask or box` : "";
  return `${label} (${count(defects)} real ${defects === 1 ? "picture" : "pictures"}${drawn})`;
}
