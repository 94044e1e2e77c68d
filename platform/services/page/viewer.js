// One picture, as large as the screen, with layers that a key switches. Rooms say what is shown.

import { announce, h } from "./dom.js";
import { openSheet, shortcuts } from "./keys.js";
import { layerKeys, layerSwitches } from "./layers.js";
import { count } from "./numbers.js";
import { Plane } from "./plane.js";

/**
 * A viewer over `total` items. Rooms extend it by what the last methods here say; `LAYERS` are all
 * layers there are, `on` those that are switched on, a Set that outlives the viewer, and `letters`
 * the keys beside the arrows.
 */
export class Viewer {
  constructor({ total, get, onMove = () => {}, layers, on, letters = ["j", "k"] }) {
    Object.assign(this, { total, get, onMove, LAYERS: layers, on, letters, index: 0, item: null });
    this.title = h("h2", { class: "at" });
    this.facts = h("div", { class: "about" });
    this.switches = h("div", { class: "switches", role: "group", "aria-label": "Overlays" });
    this.plane = new Plane({ onSwipe: (step) => this.move(step) });
    const button = (label, shown, run) =>
      h("button", { type: "button", class: "quiet", "aria-label": label, title: label, onclick: run }, shown);
    this.dialog = h(
      "dialog",
      { class: "viewer", "aria-label": "Picture" },
      h(
        "header",
        {},
        button("Back to the pictures", "✕", () => this.dialog.close()),
        this.title,
        button("Zoom out", "−", () => this.plane.zoom(1 / 1.5)),
        button("Zoom in", "+", () => this.plane.zoom(1.5)),
        button("Previous picture", "‹", () => this.move(-1)),
        button("Next picture", "›", () => this.move(1)),
      ),
      this.plane.element,
      h("aside", {}, this.switches, this.facts),
    );
  }

  /** Show item `index`; the viewer closes when `signal` aborts. */
  open(index, signal, onClose = () => {}) {
    const over = new AbortController();
    this.dialog.addEventListener("close", () => {
      over.abort();
      this.plane.end();
      this.dialog.remove();
      document.documentElement.classList.remove("viewing");
      if (!signal.aborted) onClose();
    });
    signal.addEventListener("abort", () => this.close(), { signal: over.signal });
    document.body.append(this.dialog);
    this.dialog.showModal();
    document.documentElement.classList.add("viewing");
    this.plane.element.focus();
    shortcuts(this.keys(), over.signal, true);
    this.show(index);
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  keys() {
    const [next, previous] = this.letters.length ? this.letters : [[], []];
    const step = (by, letter, arrow, ...on) => ({
      on: on.concat(letter),
      shown: [arrow].concat(letter).join(" "),
      does: by > 0 ? "Next picture" : "Previous picture",
      run: () => this.move(by),
    });
    return [
      { on: ["?"], shown: "?", does: "This sheet", run: openSheet },
      step(1, next, "→", "ArrowRight", "ArrowDown", " "),
      step(-1, previous, "←", "ArrowLeft", "ArrowUp"),
      ...this.moreKeys(),
      ...layerKeys(
        this.LAYERS,
        (layer) => this.toggle(layer),
        () => this.clear(),
      ),
      { on: ["+", "="], shown: "+", does: "Larger", run: () => this.plane.zoom(1.5) },
      { on: ["-"], shown: "-", does: "Smaller", run: () => this.plane.zoom(1 / 1.5) },
      { on: ["f"], shown: "f", does: "Fit to the screen", run: () => this.plane.fit() },
      { on: ["Escape"], shown: "Esc", does: "Back", run: () => this.close() },
    ];
  }

  move(step) {
    const next = Math.max(0, Math.min(this.total - 1, this.index + step));
    if (next === this.index) return;
    this.show(next);
    this.onMove(next);
  }

  async show(index) {
    this.index = index;
    let item;
    try {
      item = await this.get(index);
    } catch (problem) {
      this.title.textContent = problem.message;
      return;
    }
    if (this.index !== index) return;
    this.item = item;
    this.fill(true);
    for (const near of [index + 1, index - 1]) this.preload(near);
  }

  /** The neighbours' pictures are fetched before somebody asks for them. */
  async preload(index) {
    if (index < 0 || index >= this.total) return;
    const item = await this.get(index).catch(() => null);
    if (item) new Image().src = this.photo(item).full;
  }

  /** Bring everything in line with the item; a new one is laid out first. */
  fill(isNew) {
    announce(`Picture ${this.index + 1} of ${this.total}. ${this.say()}`);
    if (isNew) this.plane.picture(this.photo(this.item));
    this.facts.replaceChildren(...this.about(this.item).filter(Boolean));
    this.draw();
  }

  /** Show the title and return what it says of the item. */
  say() {
    const { said, shown } = this.titleOf(this.item);
    this.title.replaceChildren(
      h("b", {}, count(this.index + 1)),
      h("span", { class: "soft" }, ` of ${count(this.total)}`),
      ...shown.filter(Boolean),
    );
    return said;
  }

  draw() {
    // Keys work before the first picture has come.
    if (!this.item) return;
    const { images, marks } = this.layersOn(this.item);
    this.plane.layers(images, marks);
    this.switches.replaceChildren(
      ...layerSwitches(this.layersOf(this.item), this.on, (layer) => this.toggle(layer)),
      ...this.moreSwitches(),
    );
  }

  toggle(layer) {
    if (this.on.has(layer)) this.on.delete(layer);
    else this.on.add(layer);
    this.draw();
  }

  clear() {
    this.on.clear();
    this.draw();
  }

  /** Shortcuts of the room. */
  moreKeys() {
    return [];
  }

  /** Buttons beside those of the layers. */
  moreSwitches() {
    return [];
  }

  // A room also has: photo(item) for Plane.picture, titleOf(item) as {shown, said}, about(item) as
  // elements, layersOf(item) as in LAYERS, and layersOn(item) for Plane.layers as {images, marks}.
}

/** Facts as a list of terms; those without a value are left out. */
export function factList(known) {
  return h(
    "dl",
    { class: "facts" },
    Object.entries(known)
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]),
  );
}
