// One picture, as large as the screen, with overlays that a key switches.

import { announce, h } from "./dom.js";
import { pictureAddress } from "./images.js";
import { shortcuts } from "./keys.js";
import { count, number, VERDICTS } from "./metrics.js";
import { boxMarks, layerKeys, layersOf, layerSwitches, overlaysOf } from "./overlays.js";
import { Plane } from "./plane.js";

// What is switched on stays so from picture to picture and from run to run.
const on = new Set(["prediction", "truth", "boxes"]);

/**
 * Open the viewer. `get(index)` gives the picture's views, [{run, picture, name}]: one, or one of
 * each run that is compared. Returns an object to close it with.
 */
export function openViewer({ total, index, get, onMove = () => {}, onClose = () => {}, signal }) {
  const viewer = new Viewer(total, get, onMove);
  const over = new AbortController();
  const close = () => viewer.dialog.open && viewer.dialog.close();
  viewer.dialog.addEventListener("close", () => {
    over.abort();
    viewer.plane.end();
    viewer.dialog.remove();
    document.documentElement.classList.remove("viewing");
    if (!signal.aborted) onClose();
  });
  signal.addEventListener("abort", close, { signal: over.signal });
  document.body.append(viewer.dialog);
  viewer.dialog.showModal();
  document.documentElement.classList.add("viewing");
  viewer.plane.element.focus();
  shortcuts(viewer.keys(close), over.signal, true);
  viewer.show(index);
  return { close };
}

class Viewer {
  constructor(total, get, onMove) {
    Object.assign(this, { total, get, onMove, index: 0, side: 0, views: [] });
    this.title = h("h2", { class: "at" });
    this.facts = h("dl", { class: "facts" });
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

  keys(close) {
    return [
      {
        on: ["ArrowRight", "ArrowDown", "j", " "],
        shown: "→ j",
        does: "Next picture",
        run: () => this.move(1),
      },
      { on: ["ArrowLeft", "ArrowUp", "k"], shown: "← k", does: "Previous picture", run: () => this.move(-1) },
      ...layerKeys(
        (layer) => this.toggle(layer),
        () => this.clear(),
      ),
      { on: ["x"], shown: "x", does: "The other run, when two are compared", run: () => this.swap() },
      { on: ["+", "="], shown: "+", does: "Larger", run: () => this.plane.zoom(1.5) },
      { on: ["-"], shown: "-", does: "Smaller", run: () => this.plane.zoom(1 / 1.5) },
      { on: ["f"], shown: "f", does: "Fit to the screen", run: () => this.plane.fit() },
      { on: ["Escape"], shown: "Esc", does: "Back", run: close },
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
    let views;
    try {
      views = await this.get(index);
    } catch (problem) {
      this.title.textContent = problem.message;
      return;
    }
    if (this.index !== index) return;
    this.views = views;
    this.side = Math.min(this.side, views.length - 1);
    this.fill(true);
    for (const near of [index + 1, index - 1]) this.preload(near);
  }

  /** The neighbours' pictures are fetched before somebody asks for them. */
  async preload(index) {
    if (index < 0 || index >= this.total) return;
    const [{ run, picture }] = await this.get(index).catch(() => [{}]);
    if (picture) new Image().src = pictureAddress(run.dataset, picture.sample_id, "full");
  }

  fill(isNew) {
    const { run, picture, name } = this.views[this.side];
    const [verdict = "", meaning = ""] = VERDICTS[picture.verdict] ?? [];
    this.title.replaceChildren(
      h("b", {}, count(this.index + 1)),
      h("span", { class: "soft" }, ` of ${count(this.total)}`),
      verdict && h("span", { class: `verdict ${picture.verdict}`, title: meaning }, verdict),
    );
    announce(`Picture ${this.index + 1} of ${this.total}. ${verdict} ${meaning}`);
    if (isNew) {
      this.plane.picture(
        picture.width,
        picture.height,
        pictureAddress(run.dataset, picture.sample_id, "thumbnail"),
        pictureAddress(run.dataset, picture.sample_id, "full"),
        picture.file,
      );
    }
    this.facts.replaceChildren(...factsOf(picture, run, name));
    this.draw();
  }

  draw() {
    const { run, picture } = this.views[this.side];
    this.plane.layers(overlaysOf(run, picture, on), on.has("boxes") ? boxMarks(picture, true) : []);
    const other = h(
      "button",
      { type: "button", "aria-keyshortcuts": "x", onclick: () => this.swap() },
      "Other run ",
      h("kbd", {}, "x"),
    );
    this.switches.replaceChildren(
      ...layerSwitches(layersOf(picture), on, (layer) => this.toggle(layer)),
      ...(this.views.length > 1 ? [other] : []),
    );
  }

  toggle(layer) {
    if (on.has(layer)) on.delete(layer);
    else on.add(layer);
    this.draw();
  }

  clear() {
    on.clear();
    this.draw();
  }

  swap() {
    if (this.views.length < 2) return;
    this.side = 1 - this.side;
    this.fill(false);
  }
}

function factsOf(picture, run, name) {
  const answer = picture.decision === null ? null : picture.decision ? "Stop" : "Ship";
  const truth =
    picture.defective === undefined || picture.defective === null
      ? null
      : picture.defective
        ? "Defective"
        : "Good";
  const known = {
    Run: name ?? null,
    File: picture.file,
    Score: picture.score === null ? null : number(picture.score, { plain: true }),
    Decision: answer,
    Truth: truth,
    "Called class": picture.predicted_label,
    "True class": picture.label,
    "Mask overlap":
      picture.seg_iou === null || picture.seg_iou === undefined ? null : `${number(picture.seg_iou)} %`,
    Boxes: picture.boxes.length || null,
    Category: picture.category,
    Size: `${picture.width} × ${picture.height}`,
  };
  return Object.entries(known)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]);
}
