// A short word that something was done; it lies over dialogs too and goes by itself.

import { h } from "./dom.js";

const SHOWN_MS = 3500;
let box = null;
let timer;

/** Say `content` for a moment; a `kind` of "bad" is said to screen readers at once. */
export function toast(content, kind = "") {
  box?.remove();
  box = h(
    "div",
    { class: `toast ${kind}`, popover: "manual", role: kind === "bad" ? "alert" : "status" },
    content,
  );
  (document.querySelector("dialog[open]") ?? document.body).append(box);
  box.showPopover();
  clearTimeout(timer);
  timer = setTimeout(() => box.remove(), kind === "bad" ? 2 * SHOWN_MS : SHOWN_MS);
}
