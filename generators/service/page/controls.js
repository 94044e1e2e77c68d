// The controls of a request, each made once: what they offer comes from the service's options.

import { h } from "./dom.js";

export const DIFFUSION = ["variation", "inpaint", "text"];
// field: [label, what it does, modes that use it, attributes]
export const NUMBERS = {
  strength: [
    "Strength",
    "Share of noise to begin from: more is freer, less stays nearer to what was there.",
    ["variation", "inpaint"],
    { min: 0.05, max: 1, step: 0.05 },
  ],
  guidance: [
    "Guidance",
    "How closely the words are followed; 1 is without.",
    DIFFUSION,
    { min: 1, max: 30, step: 0.5 },
  ],
  steps: ["Steps", "Denoising steps; more take longer.", DIFFUSION, { min: 1, step: 1 }],
};

/** Make a control for each field of a request, with the values of `body`; `mode` has none. */
export function makeControls(options, body) {
  const controls = {};
  const { catalogs, bases, adapters, limits } = options;
  const select = (name, entries, value) =>
    h(
      "select",
      { id: `field-${name}` },
      entries.map(([id, text, disabled = false]) =>
        h("option", { value: id, selected: id === value, disabled }, text),
      ),
    );
  controls.catalog = select(
    "catalog",
    catalogs.map(({ name, title }) => [name, title || name]),
    body.catalog,
  );
  controls.label = select("label", [], null);
  controls.count = numeric("count", body.count, { min: 1, max: limits.count, step: 1 });
  controls.masks = select(
    "masks",
    [
      ["real", "those of real defects, placed anew"],
      ["procedural", "drawn shapes of the class"],
    ],
    body.masks,
  );
  const choice = ({ name, title, problem }) => [
    name,
    problem ? `${title} (cannot be used)` : title,
    Boolean(problem),
  ];
  controls.base = select(
    "base",
    [["", "the adapter's, or the first"], ...bases.map(choice)],
    body.base ?? "",
  );
  controls.adapter = select("adapter", [["", "none"], ...adapters.map(choice)], body.adapter ?? "");
  controls.prompt = h("input", {
    id: "field-prompt",
    maxlength: limits.prompt,
    value: body.prompt ?? "",
    placeholder: "a photo of {defect} on steel",
    autocomplete: "off",
  });
  controls.seed = numeric("seed", body.seed ?? "", {
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    step: 1,
    placeholder: "drawn for you",
  });
  controls.title = h("input", {
    id: "field-title",
    maxlength: 100,
    value: body.title ?? "",
    autocomplete: "off",
  });
  for (const [name, [, , , attributes]] of Object.entries(NUMBERS)) {
    const most = name === "steps" ? { max: limits.steps } : {};
    controls[name] = numeric(name, body[name], { ...attributes, ...most });
  }
  return controls;
}

function numeric(name, value, attributes) {
  return h("input", { id: `field-${name}`, type: "number", inputmode: "decimal", value, ...attributes });
}
