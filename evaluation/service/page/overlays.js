// What can lie on a judged picture: predicted and true mask, map and boxes.

import { overlayAddress } from "./addresses.js";
import { boxMark } from "./layers.js";
import { number } from "./numbers.js";

export const LAYERS = {
  prediction: { key: "p", name: "Predicted mask", short: "Mask" },
  truth: { key: "t", name: "True mask", short: "Truth" },
  map: { key: "m", name: "Anomaly map", short: "Map" },
  boxes: { key: "b", name: "Boxes", short: "Boxes" },
};

/** The layers that a picture has. */
export function layersOf(picture) {
  const anyBox = picture.boxes.length + (picture.true_boxes?.length ?? 0) > 0;
  return only({
    prediction: picture.has_prediction_mask,
    truth: picture.has_truth_mask,
    map: picture.has_prediction_mask,
    boxes: anyBox,
  });
}

/** Those layers that `has` says are there. */
export function only(has) {
  return Object.fromEntries(Object.entries(LAYERS).filter(([layer]) => has[layer]));
}

/** Addresses of the overlay images that are switched on, lowest first: {layer, url}. */
export function overlaysOf(run, picture, on) {
  const has = layersOf(picture);
  return ["map", "truth", "prediction"]
    .filter((layer) => on.has(layer) && has[layer])
    .map((layer) => ({ layer, url: overlayAddress(run.id, picture.sample_id, layer) }));
}

/** Predicted and true boxes; a predicted one has its label above, a true one below. */
export function boxMarks(picture, labelled) {
  const draw = (kind) => (box) => boxMark(box, kind, labelled ? labelOf(box) : "", kind === "true-box");
  return [...(picture.true_boxes ?? []).map(draw("true-box")), ...picture.boxes.map(draw("box"))];
}

function labelOf({ label, score }) {
  return [label, score === null ? "" : number(score, { plain: true, digits: 2 })].filter(Boolean).join(" ");
}
