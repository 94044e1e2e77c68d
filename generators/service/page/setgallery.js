// The grid of a set's pictures, the bar above it, and what the keys do to the selected one.

import { h, refill } from "./dom.js";
import { Grid } from "./grid.js";
import { ENDED } from "./job.js";
import { shortcuts } from "./keys.js";
import { layerKeys, layerSwitches } from "./layers.js";
import { moreLikeThis } from "./more.js";
import { count } from "./numbers.js";
import { caption, LAYERS, marksOf, overlaysOf, thumbnailOf } from "./picture.js";
import { SHOWN } from "./pictures.js";
import { copyRecipe } from "./recipe.js";
import { Review } from "./review.js";
import { may } from "./session.js";
import { SetViewer } from "./setviewer.js";

const NOTE_AFTER_MS = 300;
// Overlays of the thumbnails; what is switched on stays so from set to set.
const on = new Set();

export class SetGallery {
  constructor(context, set, pictures) {
    Object.assign(this, { context, set, pictures, viewer: null, onDecision: () => {} });
    pictures.choose(context.query.get("show") in SHOWN ? context.query.get("show") : "all");
    this.review = new Review(set.id, (picture) => this.decided(picture));
    this.counters = Object.fromEntries(Object.keys(SHOWN).map((kind) => [kind, h("small")]));
    this.segments = h(
      "fieldset",
      { class: "segments" },
      h("legend", { class: "unseen" }, "Which pictures"),
      Object.entries(SHOWN).map(([kind, [name, means]]) => this.segment(kind, name, means)),
    );
    this.switches = h("div", { class: "switches", role: "group", "aria-label": "Overlays" });
    this.toolbar = h(
      "div",
      { class: "toolbar" },
      h("div", { class: "strip" }, this.segments, this.switches),
      h("p", { class: "hint soft wide-only" }, hint(set)),
    );
    this.grid = new Grid({
      listing: pictures,
      on,
      thumbnail: (picture) => thumbnailOf(set.id, picture),
      overlays: (picture) => overlaysOf(set.id, picture, on),
      marks: (picture) => marksOf(picture),
      caption,
      signal: context.signal,
      onSelect: (index) => this.selected(index),
      onOpen: (index) => this.open(index),
    });
  }

  start() {
    const { query, signal } = this.context;
    shortcuts(this.keys(), signal);
    // The viewer has its own entry in the history, so that a phone's back button closes it.
    this.context.follow((next) => {
      if ((next.get("show") ?? "all") !== this.pictures.show) return false;
      if (next.has("open")) this.view(Number(next.get("at") ?? 1) - 1);
      else this.viewer?.close();
      return true;
    });
    this.showSwitches();
    const at = Number(query.get("at") ?? 1) - 1;
    this.grid.start(at);
    if (query.has("open")) this.view(at);
  }

  get picture() {
    return this.pictures.items[this.viewer ? this.viewer.index : this.grid.at];
  }

  keys() {
    const { grid } = this;
    const step = (by) => () => grid.select(grid.at + by);
    const screen = () => grid.columns * grid.rowsInSight;
    return [
      { on: ["ArrowRight"], shown: "→", does: "Next picture", run: step(1) },
      { on: ["ArrowLeft"], shown: "←", does: "Previous picture", run: step(-1) },
      { on: ["ArrowDown"], shown: "↓", does: "Row below", run: () => grid.select(grid.at + grid.columns) },
      { on: ["ArrowUp"], shown: "↑", does: "Row above", run: () => grid.select(grid.at - grid.columns) },
      { on: ["PageDown"], run: () => grid.select(grid.at + screen()) },
      { on: ["PageUp"], run: () => grid.select(grid.at - screen()) },
      { on: ["Home"], run: () => grid.select(0) },
      { on: ["End"], run: () => grid.select(this.pictures.total - 1) },
      { on: ["Enter"], shown: "Enter", does: "Open the picture", run: () => this.open(grid.at) },
      ...this.decisionKeys(),
      { on: ["b"], shown: "b", does: "Before, while held, in the large view", run: () => this.open(grid.at) },
      { on: ["m"], shown: "m", does: "More like this", run: () => this.more() },
      { on: ["c"], shown: "c", does: "Copy the recipe as a command line", run: () => this.copy() },
      ...layerKeys(
        LAYERS,
        (layer) => this.toggle(layer),
        () => this.toggle(null),
      ),
      ...Object.keys(SHOWN).map((kind, index) => ({
        on: [String(index + 1)],
        shown: String(index + 1),
        does: SHOWN[kind][1],
        run: () => this.choose(kind),
      })),
    ];
  }

  decisionKeys() {
    if (!this.mayChange) return [];
    return [
      { on: ["k"], shown: "k", does: "Keep", run: () => this.decide("keep") },
      { on: ["r"], shown: "r", does: "Reject", run: () => this.decide("drop") },
      { on: ["u"], shown: "u", does: "Undo the last decision", run: () => this.undo() },
    ];
  }

  get mayChange() {
    return this.set.mine && may("submit");
  }

  /** Decide on the picture that is looked at, and go on to the next one. */
  decide(decision) {
    const { picture } = this;
    if (!picture || !this.mayChange) return;
    const at = this.viewer ? this.viewer.index : this.grid.at;
    this.review.decide(picture, decision);
    const { items } = this.pictures;
    const next = items.findIndex((one, index) => index >= at && one !== picture && one.accepted);
    this.go(next < 0 ? at : next);
  }

  undo() {
    if (!this.mayChange) return;
    const picture = this.review.undo();
    const at = picture ? this.pictures.items.indexOf(picture) : -1;
    if (at >= 0) this.go(at);
  }

  go(index) {
    const at = Math.max(0, Math.min(this.pictures.total - 1, index));
    this.grid.select(at);
    if (!this.viewer) return;
    this.viewer.total = this.pictures.total;
    if (this.pictures.total) this.viewer.show(at);
    else this.viewer.close();
  }

  /** A decision has changed, by hand or because it could not be saved. */
  decided(picture) {
    const before = this.pictures.items.indexOf(picture);
    if (this.pictures.shows(picture) && before >= 0) {
      this.grid.refill(before);
    } else {
      const seen = this.grid.at;
      this.pictures.choose(this.pictures.show);
      this.grid.changed(seen);
    }
    if (this.viewer?.item === picture) this.viewer.fill(false);
    this.update();
    this.onDecision();
  }

  /** Pictures have arrived. */
  grown() {
    this.grid.grown();
    if (!this.viewer) return;
    this.viewer.total = this.pictures.total;
    this.viewer.say();
  }

  segment(kind, name, means) {
    const checked = kind === this.pictures.show;
    const radio = h("input", { type: "radio", name: "show", value: kind, checked, id: `show-${kind}` });
    radio.addEventListener("change", () => this.choose(kind));
    return h("label", { title: means }, radio, h("span", {}, name, " ", this.counters[kind]));
  }

  /** Bring what is said of the pictures as a whole in line with them. */
  update() {
    const coming = !this.pictures.all.length && !ENDED.includes(this.set.state);
    this.grid.element.dataset.nothing = coming
      ? "The pictures will come here as they are made."
      : "No such picture.";
    for (const [kind, n] of Object.entries(this.pictures.counts()))
      this.counters[kind].textContent = count(n);
  }

  choose(kind) {
    this.pictures.choose(kind);
    this.context.note({ show: kind === "all" ? null : kind, at: null });
    this.segments.querySelector(`#show-${kind}`).checked = true;
    this.grid.changed(0);
  }

  toggle(layer) {
    if (layer) this.grid.toggle(layer);
    else this.grid.clear();
    this.showSwitches();
  }

  showSwitches() {
    refill(
      this.switches,
      layerSwitches(LAYERS, on, (layer) => this.toggle(layer), true),
    );
  }

  selected(index) {
    // Browsers refuse too many changes of the address in a short time.
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (!this.context.signal.aborted) this.context.note({ at: index ? index + 1 : null });
    }, NOTE_AFTER_MS);
  }

  open(index) {
    if (!this.pictures.total) return;
    this.context.note({ at: index + 1 });
    history.pushState({ viewer: true }, "", `${location.hash}&open=1`);
    this.context.query.set("open", "1");
    this.view(index);
  }

  view(index) {
    if (this.viewer || !this.pictures.total) return;
    this.viewer = new SetViewer({
      set: this.set,
      total: this.pictures.total,
      get: async (at) => this.pictures.items[at],
      onMove: (at) => this.grid.select(at),
      actions: {
        mayChange: this.mayChange,
        mayAsk: may("submit"),
        keep: () => this.decide("keep"),
        drop: () => this.decide("drop"),
        undo: () => this.undo(),
        more: () => this.more(),
        copy: () => this.copy(),
      },
    });
    this.viewer.open(Math.min(this.pictures.total - 1, Math.max(0, index)), this.context.signal, () => {
      this.viewer = null;
      this.context.query.delete("open");
      if (history.state?.viewer) history.back();
      else this.context.note({ open: null });
      this.grid.element.focus({ preventScroll: true });
    });
  }

  more() {
    if (this.picture && may("submit")) moreLikeThis(this.set, this.picture);
  }

  copy() {
    if (this.picture) copyRecipe(this.set.id, this.picture);
  }
}

function hint(set) {
  const key = (name) => h("kbd", {}, name);
  const decide = [key("k"), " keep  ", key("r"), " reject  ", key("u"), " undo  "];
  return [set.mine && may("submit") ? decide : [], key("Enter"), " large  ", key("?"), " all keys"];
}
