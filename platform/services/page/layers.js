// What can lie on a picture: keys and buttons that switch layers, and drawn boxes.
// A room's layers are {layer: {key, name, short}}.

import { h, s } from "./dom.js";

/** Shortcuts that switch layers on and off. */
export function layerKeys(layers, toggle, clear) {
  return [
    ...Object.entries(layers).map(([layer, { key, name }]) => ({
      on: [key],
      shown: key,
      does: name,
      run: () => toggle(layer),
    })),
    { on: ["0"], shown: "0", does: "No overlay", run: clear },
  ];
}

/** Buttons that say and switch which layers are on, with short names where there are many bars. */
export function layerSwitches(layers, on, toggle, compact = false) {
  return Object.entries(layers).map(([layer, { key, name, short }]) =>
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

/** A box in the picture's own pixels, and `text` above or below it. */
export function boxMark({ x0, y0, x1, y1 }, kind, text = "", below = false) {
  return s(
    "g",
    { class: kind },
    s("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0 }),
    text && s("text", { x: x0, y: below ? y1 : y0, dy: below ? "1.1em" : "-.3em" }, text),
  );
}
