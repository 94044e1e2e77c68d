// What can lie on a picture: predicted and true mask, map and boxes.

import { h, s } from "./dom.js";
import { overlayAddress } from "./images.js";
import { number } from "./metrics.js";

export const LAYERS = {
  prediction: { key: "p", name: "Predicted mask", short: "Mask" },
  truth: { key: "t", name: "True mask", short: "Truth" },
  map: { key: "m", name: "Anomaly map", short: "Map" },
  boxes: { key: "b", name: "Boxes", short: "Boxes" },
};

/** Which layers a picture has. */
export function layersOf(picture) {
  const anyBox = picture.boxes.length + (picture.true_boxes?.length ?? 0) > 0;
  return {
    prediction: picture.has_prediction_mask,
    truth: picture.has_truth_mask,
    map: picture.has_prediction_mask,
    boxes: anyBox,
  };
}

/** Addresses of the overlay images that are switched on, lowest first: {layer, url}. */
export function overlaysOf(run, picture, on) {
  const has = layersOf(picture);
  return ["map", "truth", "prediction"]
    .filter((layer) => on.has(layer) && has[layer])
    .map((layer) => ({ layer, url: overlayAddress(run.id, picture.sample_id, layer) }));
}

/** Predicted and true boxes in the picture's own pixels; with labels where there is room. */
export function boxMarks(picture, labelled) {
  const draw = (kind) => (box) =>
    s(
      "g",
      { class: kind },
      s("rect", { x: box.x0, y: box.y0, width: box.x1 - box.x0, height: box.y1 - box.y0 }),
      labelled && label(box, kind === "true-box"),
    );
  return [...(picture.true_boxes ?? []).map(draw("true-box")), ...picture.boxes.map(draw("box"))];
}

/** A predicted box has its label above, a true one below, so that both can be read. */
function label({ x0, y0, y1, label: name, score }, below) {
  const text = [name, score === null ? "" : number(score, { plain: true, digits: 2 })]
    .filter(Boolean)
    .join(" ");
  return s("text", { x: x0, y: below ? y1 : y0, dy: below ? "1.1em" : "-.3em" }, text);
}

/** Shortcuts that switch layers on and off. */
export function layerKeys(toggle, clear) {
  return [
    ...Object.entries(LAYERS).map(([layer, { key, name }]) => ({
      on: [key],
      shown: key,
      does: name,
      run: () => toggle(layer),
    })),
    { on: ["0"], shown: "0", does: "No overlay", run: clear },
  ];
}

/** Buttons that say and switch which layers are on, with short names where there are many bars. */
export function layerSwitches(has, on, toggle, compact = false) {
  return Object.entries(LAYERS)
    .filter(([layer]) => has[layer])
    .map(([layer, { key, name, short }]) =>
      h(
        "button",
        {
          type: "button",
          title: name,
          "aria-pressed": String(on.has(layer)),
          "aria-keyshortcuts": key,
          onclick: () => toggle(layer),
        },
        h("span", { class: `swatch ${layer}` }),
        compact ? short : name,
        " ",
        h("kbd", {}, key),
      ),
    );
}
