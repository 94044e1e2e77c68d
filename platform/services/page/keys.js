// Single-key shortcuts: the newest layer hears first; a modal layer keeps keys from those below.

import { h } from "./dom.js";

const OFF = "millsight-keys-off";
const layers = [];

/**
 * Listen to keys until `signal` aborts.
 * Each shortcut: `on` keys as KeyboardEvent.key, `shown` for the sheet, `does` in words, `run`.
 */
export function shortcuts(list, signal, modal = false) {
  const layer = { list, modal };
  layers.push(layer);
  signal.addEventListener("abort", () => layers.splice(layers.indexOf(layer), 1));
}

export function installKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target) || isTakenByControl(event)) return;
    if (event.key.length === 1 && localStorage.getItem(OFF) && event.key !== "?") return;
    const found = listening().find((shortcut) => shortcut.on.includes(event.key));
    if (!found) return;
    event.preventDefault();
    found.run(event);
  });
}

function listening() {
  const heard = [];
  for (const layer of [...layers].reverse()) {
    heard.push(...layer.list);
    if (layer.modal) break;
  }
  return heard;
}

function isTyping(target) {
  if (target.matches("input[type=checkbox], input[type=radio], input[type=range]")) return false;
  return target.matches("input, textarea, select, [contenteditable]");
}

/** Enter and space belong to the focused control, arrows to a radio group or a slider. */
function isTakenByControl(event) {
  if (event.key === "Enter" || event.key === " ") {
    return event.target.matches("a, button, summary, input, [role=button]");
  }
  return (
    /^(Arrow|Page|Home|End)/.test(event.key) && event.target.matches("input[type=radio], input[type=range]")
  );
}

/** Open the sheet that lists what the keys do here. */
export function openSheet() {
  const rows = listening().filter((shortcut) => shortcut.does);
  const off = h("input", { type: "checkbox", id: "keys-off", checked: Boolean(localStorage.getItem(OFF)) });
  off.addEventListener("change", () => {
    if (off.checked) localStorage.setItem(OFF, "1");
    else localStorage.removeItem(OFF);
  });
  const sheet = openDialog(
    "Keyboard",
    h(
      "dl",
      { class: "keys" },
      rows.map((shortcut) => [
        h(
          "dt",
          {},
          shortcut.shown.split(" ").map((key) => h("kbd", {}, key)),
        ),
        h("dd", {}, shortcut.does),
      ]),
    ),
    h("p", { class: "soft" }, off, " ", h("label", { for: "keys-off" }, "Turn single letters off")),
  );
  sheet.classList.add("sheet");
}

/** Open a modal dialog with a heading and a button that closes it; Escape closes it too. */
export function openDialog(title, ...content) {
  const over = new AbortController();
  const dialog = h(
    "dialog",
    { "aria-label": title },
    h(
      "form",
      { method: "dialog" },
      h("h2", {}, title),
      h("button", { class: "quiet", "aria-label": "Close" }, "✕"),
    ),
    content,
  );
  dialog.addEventListener("close", () => {
    over.abort();
    dialog.remove();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  shortcuts([{ on: ["?"], run: () => dialog.close() }], over.signal, true);
  dialog.showModal();
  return dialog;
}

/** j, k and the arrows move the focus along the links that `selector` finds. */
export function rowKeys(root, selector, what = "row") {
  const move = (step) => {
    const rows = [...root.querySelectorAll(selector)];
    const at = rows.findIndex((row) => (row.closest("[data-row]") ?? row).contains(document.activeElement));
    const next =
      at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + step));
    rows[next]?.focus();
    rows[next]?.closest("[data-row]")?.scrollIntoView({ block: "nearest" });
  };
  return [
    { on: ["j", "ArrowDown"], shown: "j ↓", does: `Next ${what}`, run: () => move(1) },
    { on: ["k", "ArrowUp"], shown: "k ↑", does: `Previous ${what}`, run: () => move(-1) },
  ];
}
