// All pictures of a run in order of trouble. Only the rows in sight are in the document.

import { pictureAddress } from "./addresses.js";
import { ask, Listing } from "./api.js";
import { h } from "./dom.js";
import { Grid } from "./grid.js";
import { shortcuts } from "./keys.js";
import { layerKeys, layerSwitches } from "./layers.js";
import { VERDICTS } from "./metrics.js";
import { count, number } from "./numbers.js";
import { boxMarks, LAYERS, only, overlaysOf } from "./overlays.js";
import { openViewer } from "./runviewer.js";

const ORDERS = {
  worst: "Worst first",
  escapes: "Escapes",
  overkills: "False alarms",
  "-score": "Highest score",
  score: "Lowest score",
};
const HIDDEN = ["-score", "score"];
const REMEMBERED = 4;
const NOTE_AFTER_MS = 300;
// Coming back to a gallery finds it as it was left; few are kept, they may be large.
const visited = new Map();
// Overlays of the thumbnails. None at first: one may hide what is looked for. What is on stays so.
const on = new Set();

export async function galleryView(context) {
  const {
    parts: [id],
    query,
    signal,
    show,
  } = context;
  const run = await ask(`/runs/${encodeURIComponent(id)}`, { signal });
  const orders = run.truth_visible ? Object.keys(ORDERS) : HIDDEN;
  const order = orders.includes(query.get("order")) ? query.get("order") : orders[0];
  const listing = await remembered(run, order, signal);
  const gallery = new Gallery(context, run, orders, listing);
  show(`Pictures of ${run.name}`, header(context, run, orders, order, gallery), gallery.grid.element);
  gallery.start(Number(query.get("at") ?? 1) - 1, query.has("open"));
}

async function remembered(run, order, signal) {
  const key = `${run.id} ${order}`;
  const listing =
    visited.get(key) ?? new Listing(`/runs/${encodeURIComponent(run.id)}/pictures`, { order }, signal);
  listing.signal = signal;
  visited.delete(key);
  if (!listing.items.length) await listing.more();
  visited.set(key, listing);
  if (visited.size > REMEMBERED) visited.delete(visited.keys().next().value);
  return listing;
}

function header(context, run, orders, order, gallery) {
  const radios = orders.map((name) => {
    const radio = h("input", { type: "radio", name: "order", value: name, checked: name === order });
    radio.addEventListener("change", () => {
      location.hash = `#/runs/${run.id}/gallery?order=${name}`;
    });
    return h("label", {}, radio, h("span", {}, ORDERS[name]));
  });
  return h(
    "div",
    { class: "toolbar" },
    h(
      "div",
      { class: "line" },
      h("h1", {}, h("a", { href: `#/runs/${run.id}` }, run.name)),
      h("form", { class: "jump" }, gallery.field, h("span", { class: "soft" }, "of ", count(gallery.total))),
    ),
    h(
      "div",
      { class: "strip" },
      h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, "Order"), radios),
      gallery.switches,
    ),
    run.truth_visible
      ? null
      : h(
          "p",
          { class: "soft" },
          "Labels of single pictures stay on the server: pictures are ordered by score.",
        ),
  );
}

/** What stands below a thumbnail. */
function caption(picture) {
  const [verdict] = VERDICTS[picture.verdict] ?? [
    picture.decision === null ? "" : picture.decision ? "Stop" : "Ship",
  ];
  const score = picture.score === null ? "" : number(picture.score, { plain: true });
  return [
    h("span", { class: `verdict ${picture.verdict ?? ""}` }, verdict),
    h("span", { class: "score" }, score),
    h("span", { class: "file soft" }, picture.file.split("/").pop()),
  ];
}

class Gallery {
  constructor(context, run, orders, listing) {
    this.context = context;
    this.orders = orders;
    this.run = run;
    this.listing = listing;
    this.viewer = null;
    this.switches = h("div", { class: "switches", role: "group", "aria-label": "Overlays" });
    this.field = h("input", {
      type: "text",
      inputmode: "numeric",
      "aria-label": "Go to picture number",
      autocomplete: "off",
      size: 6,
    });
    this.grid = new Grid({
      listing,
      on,
      thumbnail: (picture) => pictureAddress(run.dataset, picture.sample_id, "thumbnail"),
      overlays: (picture) => overlaysOf(run, picture, on),
      marks: (picture) => boxMarks(picture, false),
      caption,
      signal: context.signal,
      onSelect: (index) => this.selected(index),
      onOpen: (index) => this.open(index),
    });
  }

  get total() {
    return this.listing.total ?? this.listing.items.length;
  }

  start(at, isOpen) {
    const { signal } = this.context;
    this.field.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.grid.select(Number(this.field.value.replace(/\D/g, "")) - 1, true);
      this.grid.element.focus({ preventScroll: true });
    });
    shortcuts(this.keys(), signal);
    // The viewer has its own entry in the history, so that a phone's back button closes it.
    this.context.follow((query) => {
      if (query.get("order") !== this.context.query.get("order")) return false;
      if (query.has("open")) this.view(Number(query.get("at") ?? 1) - 1);
      else this.viewer?.close();
      // The entry that was left behind may name another picture.
      this.selected(this.grid.at);
      return true;
    });
    this.showSwitches();
    this.grid.start(at);
    if (isOpen) this.view(at);
  }

  keys() {
    const { grid } = this;
    const step = (by) => () => grid.select(grid.at + by);
    return [
      { on: ["j", "ArrowRight"], shown: "j →", does: "Next picture", run: step(1) },
      { on: ["k", "ArrowLeft"], shown: "k ←", does: "Previous picture", run: step(-1) },
      { on: ["ArrowDown"], shown: "↓", does: "Row below", run: () => grid.select(grid.at + grid.columns) },
      { on: ["ArrowUp"], shown: "↑", does: "Row above", run: () => grid.select(grid.at - grid.columns) },
      {
        on: ["PageDown"],
        shown: "PgDn",
        does: "Screen below",
        run: () => grid.select(grid.at + grid.columns * grid.rowsInSight),
      },
      {
        on: ["PageUp"],
        shown: "PgUp",
        does: "Screen above",
        run: () => grid.select(grid.at - grid.columns * grid.rowsInSight),
      },
      { on: ["Home"], shown: "Home", does: "First picture", run: () => grid.select(0) },
      { on: ["End"], shown: "End", does: "Last picture", run: () => grid.select(this.total - 1) },
      { on: ["Enter"], shown: "Enter", does: "Open the picture", run: () => this.open(grid.at) },
      ...layerKeys(
        LAYERS,
        (layer) => this.toggle(layer),
        () => this.toggle(null),
      ),
      ...this.orderKeys(),
      {
        on: ["/"],
        shown: "/",
        does: "Go to a picture by its number",
        run: () => this.field.select(),
      },
      {
        on: ["u", "Escape"],
        shown: "u",
        does: "Up to the run",
        run: () => {
          location.hash = `#/runs/${this.run.id}`;
        },
      },
    ];
  }

  orderKeys() {
    return this.orders.map((name, index) => ({
      on: [String(index + 1)],
      shown: String(index + 1),
      does: ORDERS[name],
      run: () => {
        location.hash = `#/runs/${this.run.id}/gallery?order=${name}`;
      },
    }));
  }

  /** Switch an overlay of the thumbnails, or all of them off. */
  toggle(layer) {
    if (layer) this.grid.toggle(layer);
    else this.grid.clear();
    this.showSwitches();
  }

  showSwitches() {
    const { tasks, truth_visible: truth } = this.run;
    const has = { prediction: true, truth, map: tasks.includes("maps"), boxes: tasks.includes("boxes") };
    this.switches.replaceChildren(...layerSwitches(only(has), on, (layer) => this.toggle(layer), true));
  }

  selected(index) {
    this.field.value = index + 1;
    // Browsers refuse too many changes of the address in a short time.
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (!this.context.signal.aborted) this.context.note({ at: index ? index + 1 : null });
    }, NOTE_AFTER_MS);
  }

  open(index) {
    if (!this.total) return;
    this.context.note({ at: index + 1 });
    history.pushState({ viewer: true }, "", `${location.hash}&open=1`);
    this.context.query.set("open", "1");
    this.view(index);
  }

  view(index) {
    if (this.viewer || !this.total) return;
    this.viewer = openViewer({
      total: this.total,
      index: Math.max(0, Math.min(this.total - 1, index)),
      get: async (at) => {
        await this.listing.until(at);
        return [{ run: this.run, picture: this.listing.items[at] }];
      },
      onMove: (at) => this.grid.select(at),
      onClose: () => {
        this.viewer = null;
        this.context.query.delete("open");
        if (history.state?.viewer) history.back();
        else this.context.note({ open: null });
        this.grid.element.focus({ preventScroll: true });
      },
      signal: this.context.signal,
    });
  }
}
