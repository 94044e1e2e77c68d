// A synthetic picture as large as the screen: mask, boxes, before and after, verdicts, recipe.

import { h, refill } from "./dom.js";
import { count } from "./numbers.js";
import { beforeOf, fateOf, fullOf, layersOf, LAYERS, marksOf, overlaysOf, thumbnailOf } from "./picture.js";
import { recipePart } from "./recipe.js";
import { factList, Viewer } from "./viewer.js";
import { filterWords } from "./words.js";

// What is switched on stays so from picture to picture and from set to set.
const on = new Set(["mask", "boxes"]);
const BEFORE = { plate: "Before: the plate", source: "Before: the real picture" };

export class SetViewer extends Viewer {
  /** `actions` of the set: keep, drop, undo, more, copy, and whether one `mayChange` it. */
  constructor({ set, actions, ...rest }) {
    super({ ...rest, layers: LAYERS, on, letters: [] });
    Object.assign(this, { set, actions, peeking: false, split: 0 });
    this.slider = h("input", { type: "range", min: 0, max: 100, value: 0, id: "split" });
    this.slider.addEventListener("input", () => this.divide(Number(this.slider.value)));
    this.decisions = h("div", { class: "decide", role: "group", "aria-label": "Decision" });
    this.switches.before(this.decisions);
    this.holdBefore();
  }

  photo(picture) {
    return {
      width: picture.width,
      height: picture.height,
      thumbnail: thumbnailOf(this.set.id, picture),
      full: fullOf(this.set.id, picture),
      name: `Synthetic ${this.set.label}, picture ${picture.place}`,
    };
  }

  titleOf(picture) {
    const { kind, word, why } = fateOf(picture);
    return {
      said: `${word}: ${why}`,
      shown: [h("span", { class: `verdict ${kind}`, title: why }, word)],
    };
  }

  layersOf(picture) {
    return layersOf(picture);
  }

  layersOn(picture) {
    const before = { layer: "before", url: beforeOf(this.set.id, picture) };
    if (this.peeking && picture.before) return { images: [before], marks: [] };
    const divided = picture.before && this.split > 0;
    return {
      images: [...overlaysOf(this.set.id, picture, on), ...(divided ? [before] : [])],
      marks: on.has("boxes") ? marksOf(picture, this.set.label) : [],
    };
  }

  fill(isNew) {
    super.fill(isNew);
    refill(this.decisions, this.decisionButtons(this.item));
    // It has to be there at once when the key is held.
    if (isNew && this.item.before) new Image().src = beforeOf(this.set.id, this.item);
  }

  about(picture) {
    return [
      this.further(),
      this.beforePart(picture),
      h("h3", {}, "What the filters found"),
      verdictList(picture.verdicts),
      h("h3", {}, "What it was made of"),
      factList({
        "Real defect": picture.made_of.source?.file,
        Plate: picture.made_of.plate?.file,
        Size: `${picture.width} × ${picture.height}`,
        Defect: `${count(picture.defect_pixels)} pixels`,
        Boxes: picture.boxes.length || null,
        Attempt: picture.attempt ? `${picture.attempt + 1}th at this picture` : "first",
        Seed: picture.seed,
      }),
      recipePart(this.set.id, picture),
    ];
  }

  decisionButtons(picture) {
    if (!this.actions.mayChange || !picture.accepted) return [];
    const button = (decision, kind, key, text, run) =>
      h(
        "button",
        {
          type: "button",
          class: kind,
          "aria-pressed": String(picture.decision === decision),
          "aria-keyshortcuts": key,
          onclick: run,
        },
        text,
        " ",
        h("kbd", {}, key),
      );
    return [
      button("keep", "keep", "k", "Keep", () => this.actions.keep()),
      button("drop", "drop", "r", "Reject", () => this.actions.drop()),
    ];
  }

  further() {
    const button = (key, title, text, run) =>
      h(
        "button",
        { type: "button", title, "aria-keyshortcuts": key, onclick: run },
        text,
        " ",
        h("kbd", {}, key),
      );
    return h(
      "div",
      { class: "further" },
      this.actions.mayAsk && button("m", "More like this", "More like this", () => this.actions.more()),
      button("c", "Copy recipe", "Recipe", () => this.actions.copy()),
    );
  }

  beforePart(picture) {
    if (!picture.before) return h("p", { class: "soft" }, "There is nothing to compare it with.");
    return h(
      "div",
      { class: "beforehand" },
      h(
        "label",
        { for: "split" },
        BEFORE[picture.before],
        " ",
        h("kbd", {}, "b"),
        h("span", { class: "held" }, " held"),
      ),
      this.slider,
    );
  }

  moreKeys() {
    const { actions } = this;
    return [
      { on: ["k"], shown: "k", does: "Keep", run: () => actions.keep() },
      { on: ["r"], shown: "r", does: "Reject", run: () => actions.drop() },
      { on: ["u"], shown: "u", does: "Undo the last decision", run: () => actions.undo() },
      { on: ["b"], shown: "b", does: "Before, while held", run: () => this.peek(true) },
      { on: ["m"], shown: "m", does: "More like this", run: () => actions.more() },
      { on: ["c"], shown: "c", does: "Copy the recipe as a command line", run: () => actions.copy() },
    ];
  }

  holdBefore() {
    this.dialog.addEventListener("keyup", (event) => {
      if (event.key.toLowerCase() === "b") this.peek(false);
    });
    // A key that is let go in another window is never heard of.
    const leave = () => this.peek(false);
    window.addEventListener("blur", leave);
    this.dialog.addEventListener("close", () => window.removeEventListener("blur", leave));
  }

  /** Show the picture as it was before, or end that. */
  peek(is) {
    if (this.peeking === is || !this.item) return;
    this.peeking = is;
    this.place();
  }

  /** Show `percent` of the picture, from its left side, as it was before. */
  divide(percent) {
    this.split = percent;
    this.place();
  }

  place() {
    this.plane.sheet.style.setProperty("--split", `${this.peeking ? 100 : this.split}%`);
    this.draw();
  }
}

function verdictList(verdicts) {
  const signs = { true: "✓", false: "✕", abstained: "–" };
  const words = { true: "passed", false: "rejected", abstained: "could not judge" };
  return h(
    "ul",
    { class: "verdicts" },
    verdicts.map((verdict) => {
      const kind = verdict.abstained ? "abstained" : String(verdict.accepted);
      const { looksFor, fault, means } = filterWords(verdict.name);
      return h(
        "li",
        { class: `is-${kind}` },
        h("span", { class: "sign", role: "img", "aria-label": words[kind] }, signs[kind]),
        h(
          "span",
          {},
          h("b", { title: means }, verdict.accepted ? looksFor : fault),
          " ",
          h("span", { class: "soft" }, verdict.reason),
        ),
      );
    }),
  );
}
