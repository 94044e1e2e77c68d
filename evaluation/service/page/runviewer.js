// A judged picture, as large as the screen; with two runs a key shows the other's answer.

import { pictureAddress } from "./addresses.js";
import { h } from "./dom.js";
import { VERDICTS } from "./metrics.js";
import { number } from "./numbers.js";
import { boxMarks, LAYERS, layersOf, overlaysOf } from "./overlays.js";
import { factList, Viewer } from "./viewer.js";

// What is switched on stays so from picture to picture and from run to run.
const on = new Set(["prediction", "truth", "boxes"]);

/**
 * Open the viewer. `get(index)` gives the picture's views, [{run, picture, name}]: one, or one of
 * each run that is compared. Returns the viewer, to close it with.
 */
export function openViewer({ total, index, get, onMove, onClose, signal }) {
  const viewer = new RunViewer({ total, get, onMove, layers: LAYERS, on });
  viewer.open(index, signal, onClose);
  return viewer;
}

class RunViewer extends Viewer {
  side = 0;

  /** The view that is shown of an item. */
  shown(views) {
    return views[Math.min(this.side, views.length - 1)];
  }

  photo(views) {
    const { run, picture } = this.shown(views);
    return {
      width: picture.width,
      height: picture.height,
      thumbnail: pictureAddress(run.dataset, picture.sample_id, "thumbnail"),
      full: pictureAddress(run.dataset, picture.sample_id, "full"),
      name: picture.file,
    };
  }

  titleOf(views) {
    const { verdict: found } = this.shown(views).picture;
    const [verdict = "", meaning = ""] = VERDICTS[found] ?? [];
    return {
      said: `${verdict} ${meaning}`,
      shown: [verdict && h("span", { class: `verdict ${found}`, title: meaning }, verdict)],
    };
  }

  layersOf(views) {
    return layersOf(this.shown(views).picture);
  }

  layersOn(views) {
    const { run, picture } = this.shown(views);
    return {
      images: overlaysOf(run, picture, on),
      marks: on.has("boxes") ? boxMarks(picture, true) : [],
    };
  }

  about(views) {
    const { picture, name } = this.shown(views);
    return [factList(factsOf(picture, name))];
  }

  moreKeys() {
    return [{ on: ["x"], shown: "x", does: "The other run, when two are compared", run: () => this.swap() }];
  }

  moreSwitches() {
    if (this.item.length < 2) return [];
    return [
      h(
        "button",
        { type: "button", "aria-keyshortcuts": "x", onclick: () => this.swap() },
        "Other run ",
        h("kbd", {}, "x"),
      ),
    ];
  }

  swap() {
    if (!this.item || this.item.length < 2) return;
    this.side = 1 - this.side;
    this.fill(false);
  }
}

function factsOf(picture, name) {
  const { decision, defective, seg_iou: overlap } = picture;
  const known = (value) => value !== null && value !== undefined;
  return {
    Run: name,
    File: picture.file,
    Score: known(picture.score) ? number(picture.score, { plain: true }) : null,
    Decision: known(decision) ? (decision ? "Stop" : "Ship") : null,
    Truth: known(defective) ? (defective ? "Defective" : "Good") : null,
    "Called class": picture.predicted_label,
    "True class": picture.label,
    "Mask overlap": known(overlap) ? `${number(overlap)} %` : null,
    Boxes: picture.boxes.length || null,
    Category: picture.category,
    Size: `${picture.width} × ${picture.height}`,
  };
}
