// What modes, filters and states are called, and what they mean.

import { standing } from "./job.js";

export const MODES = {
  copy_paste: {
    name: "Copy-paste",
    means: "Real defects, blended onto good pictures in other places. No model, exact masks.",
  },
  variation: {
    name: "Variation of a real defect",
    means: "A real defect picture, noised in part and drawn anew: same place, other looks.",
  },
  inpaint: {
    name: "Defect on a good picture",
    means: "A defect drawn inside a placed mask on a good picture; outside of it no bit changes.",
  },
  text: {
    name: "From words",
    means: "A whole picture drawn from the class's words. There is no mask, and no box.",
  },
  procedural: {
    name: "Rendered steel",
    means: "Steel and a defect of the renderer's own kinds, drawn by rule. Needs no real picture.",
  },
};

// name: [what it looks for, what is wrong with those that it rejects, what that means]
const FILTERS = {
  blank: ["Grey levels", "Blank", "Blank, or darker, brighter or flatter than any real picture."],
  difference: ["Defect is there", "No defect", "No different from its plate where the defect should be."],
  anomaly: ["Stands out", "Not anomalous", "No more anomalous than its plate."],
  agreement: ["Its class", "Other class", "A recognizer of real pictures does not see its class."],
  memorised: ["No copy", "Copy of a real one", "Nearly the same as a real picture of any split."],
  outlier: ["Like real ones", "Far from real", "Unlike all real pictures of its class."],
  duplicate: ["No duplicate", "Duplicate", "Nearly the same as a picture that was accepted before."],
  quota: ["Quota", "Over the quota", "There were enough of this class already."],
  "all filters": ["All filters", "All together", "Rejected by at least one."],
};

/** What a filter looks for, what it finds wrong, and what that means. */
export function filterWords(name) {
  const plain = name.replaceAll("_", " ");
  const [looksFor, fault, means] = FILTERS[name] ?? [plain, plain, ""];
  return { looksFor, fault, means };
}

/** A set's title, or what it is. */
export function titleOf({ request, like, label, mode, count }) {
  if (request.title) return request.title;
  const kind = like ? "more like one" : MODES[mode].name.toLowerCase();
  return `${count} × ${label}, ${kind}`;
}

/** Where an unfinished set stands: its message has the numbers. */
export function standingOf({ state, message }) {
  return standing({ state, message });
}

/** Work of a request or left of a day, in millions of pixels times steps. */
export function effort(value) {
  if (value === null || value === undefined) return "–";
  const shown = Number(value < 100 ? value.toPrecision(2) : value.toFixed(0));
  return `${shown.toLocaleString("en").replaceAll(",", "\u202f")} Mpx·steps`;
}

export function bytes(value) {
  if (value < 2 ** 20) return `${Math.ceil(value / 1024)} KiB`;
  if (value < 2 ** 30) return `${(value / 2 ** 20).toFixed(1)} MiB`;
  return `${(value / 2 ** 30).toFixed(1)} GiB`;
}

/** The time until a moment, in the coarsest unit that tells. */
export function until(text) {
  const hours = (new Date(text) - Date.now()) / 3.6e6;
  if (hours < 1) return "within the hour";
  return hours < 48 ? `in ${Math.round(hours)} h` : `in ${Math.round(hours / 24)} days`;
}
