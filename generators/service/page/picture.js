// One synthetic picture: where it is, what stands below it, and what can lie on it.

import { address } from "./api.js";
import { h } from "./dom.js";
import { boxMark } from "./layers.js";
import { count } from "./numbers.js";
import { filterWords } from "./words.js";

export const LAYERS = {
  mask: { key: "o", name: "Mask", short: "Mask" },
  requested: { key: "p", name: "Mask asked for", short: "Asked" },
  boxes: { key: "x", name: "Boxes", short: "Boxes" },
};
// A thumbnail has 256 pixels; a sharp screen shows more of them than that.
const SMALL = 512;

export function setAddress(set) {
  return `/sets/${encodeURIComponent(set)}`;
}

export function pictureAddress(set, picture) {
  return `${setAddress(set)}/pictures/${encodeURIComponent(picture)}`;
}

export function thumbnailOf(set, picture) {
  const small = Math.max(picture.width, picture.height) <= SMALL;
  const size = window.devicePixelRatio > 1 && small ? "full" : "thumbnail";
  return address(`${pictureAddress(set, picture.id)}/image`, { size });
}

export function fullOf(set, picture) {
  return address(`${pictureAddress(set, picture.id)}/image`, { size: "full" });
}

export function beforeOf(set, picture) {
  return address(`${pictureAddress(set, picture.id)}/before`, { size: "full" });
}

/** The layers that a picture has. */
export function layersOf(picture) {
  const has = {
    mask: picture.defect_pixels > 0,
    requested: picture.has_requested,
    boxes: picture.boxes.length > 0,
  };
  return Object.fromEntries(Object.entries(LAYERS).filter(([layer]) => has[layer]));
}

/** Addresses of the overlay images that are switched on: {layer, url}. */
export function overlaysOf(set, picture, on) {
  const has = layersOf(picture);
  return ["requested", "mask"]
    .filter((layer) => on.has(layer) && has[layer])
    .map((layer) => ({
      layer,
      url: address(`${pictureAddress(set, picture.id)}/overlay`, { layer }),
    }));
}

export function marksOf(picture, text = "") {
  return picture.boxes.map(([x0, y0, x1, y1]) => boxMark({ x0, y0, x1, y1 }, "box", text));
}

/** What became of a picture: {kind, word, why}. */
export function fateOf(picture) {
  if (!picture.accepted) {
    const against = picture.verdicts.filter((verdict) => !verdict.accepted);
    const word = filterWords(against[0].name).fault;
    return { kind: "filtered", word, why: against.map(({ reason }) => reason).join("; ") };
  }
  if (picture.decision === "keep") return { kind: "kept", word: "Kept", why: "by hand" };
  if (picture.decision === "drop") return { kind: "dropped", word: "Rejected", why: "by hand" };
  return { kind: "open", word: "To look at", why: "no filter rejected it" };
}

const SIGNS = { kept: "✓", dropped: "✕", filtered: "⊘", open: "" };

/** What stands below a thumbnail. */
export function caption(picture) {
  const { kind, word, why } = fateOf(picture);
  return [
    h("span", { class: `verdict ${kind}` }, SIGNS[kind] && `${SIGNS[kind]} `, kind === "open" ? "" : word),
    h("span", { class: "score" }, count(picture.place)),
    h("span", { class: "file soft" }, kind === "filtered" ? why : madeOf(picture)),
  ];
}

function madeOf({ made_of: { plate, source } }) {
  const names = [source?.file, plate?.file].filter(Boolean).map((file) => file.split("/").pop());
  return names.join(" on ");
}
