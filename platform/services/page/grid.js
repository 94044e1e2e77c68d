// A listbox of thumbnails that keeps only what is near the screen in the document.

import { h, s } from "./dom.js";
import { showPicture } from "./images.js";

const WIDEST = 190;
const LEAST_COLUMNS = 2;
const GAP = 8;
const CAPTION = 48;
const SHAPE = 0.78;
const REACH = 0.5;
const QUIET_MS = 90;

/**
 * A room says what its pictures are: `listing` has their items and their total, `thumbnail`,
 * `overlays`, `marks` and `caption` say what of one is shown, and `on` which layers are.
 */
export class Grid {
  constructor(room) {
    Object.assign(this, room);
    this.at = 0;
    this.columns = 1;
    this.tiles = new Map();
    this.element = h("div", {
      class: "grid",
      role: "listbox",
      tabindex: 0,
      "aria-label": "Pictures",
      "data-nothing": "No such picture.",
      onclick: (event) => this.clicked(event),
    });
  }

  get total() {
    return this.listing.total ?? this.listing.items.length;
  }

  get rowsInSight() {
    return Math.max(1, Math.floor((window.innerHeight - this.top) / this.rowHeight));
  }

  /** Height of the sticky bars above the pictures. */
  get top() {
    return document.querySelector(".toolbar").getBoundingClientRect().height + 8;
  }

  start(at) {
    const later = () => {
      this.frame ??= requestAnimationFrame(() => {
        this.frame = null;
        this.draw();
      });
      clearTimeout(this.quiet);
      this.quiet = setTimeout(() => this.showPictures(), QUIET_MS);
    };
    window.addEventListener("scroll", later, { passive: true, signal: this.signal });
    const watch = new ResizeObserver(() => this.measure());
    watch.observe(this.element);
    this.signal.addEventListener("abort", () => watch.disconnect());
    this.at = Math.max(0, Math.min(this.total - 1, at || 0));
    this.measure();
    const left = history.state?.y;
    if (left !== undefined) window.scrollTo(0, left);
    else if (this.at) this.reveal(true);
    this.draw();
    this.chosen();
    this.element.focus({ preventScroll: true });
    this.showPictures();
  }

  measure() {
    const width = this.element.clientWidth;
    const columns = Math.max(LEAST_COLUMNS, Math.ceil((width + GAP) / (WIDEST + GAP)));
    const tile = (width - GAP * (columns - 1)) / columns;
    if (columns === this.columns && tile === this.tile) return;
    const keep = this.tile !== undefined;
    Object.assign(this, { columns, tile, rowHeight: Math.round(tile * SHAPE) + CAPTION + GAP });
    this.empty();
    if (keep) this.reveal(true);
    this.draw();
    this.showPictures();
  }

  empty() {
    this.extend();
    for (const one of this.tiles.values()) one.remove();
    this.tiles.clear();
  }

  extend() {
    this.element.style.height = `${Math.ceil(this.total / this.columns) * this.rowHeight}px`;
    this.element.classList.toggle("nothing", this.total === 0);
  }

  /** More items have come to the end of the listing. */
  grown() {
    this.extend();
    for (const tile of this.tiles.values()) tile.setAttribute("aria-setsize", this.total);
    this.draw();
    this.showPictures();
  }

  /** Other items are listed now; the one at `at` is selected. */
  changed(at) {
    this.empty();
    this.at = Math.max(0, Math.min(this.total - 1, at));
    this.draw();
    this.reveal(false);
    this.showPictures();
    this.chosen();
  }

  /** What is said of an item has changed. */
  refill(index) {
    const tile = this.tiles.get(index);
    if (!tile) return;
    for (const old of tile.querySelectorAll("span")) old.remove();
    delete tile.dataset.filled;
    this.fill(index);
  }

  /** Bring the document in line with what can be seen. */
  draw() {
    const shift = -this.element.getBoundingClientRect().top;
    const reach = REACH * window.innerHeight;
    const first = Math.max(0, Math.floor((shift - reach) / this.rowHeight)) * this.columns;
    const last = Math.min(
      this.total,
      Math.ceil((shift + window.innerHeight + reach) / this.rowHeight) * this.columns,
    );
    for (const [index, tile] of this.tiles) {
      if (index < first || index >= last) {
        tile.remove();
        this.tiles.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) {
      if (!this.tiles.has(index)) this.place(index);
    }
    this.wanted = last;
    if (this.wanted > this.listing.items.length) this.load();
  }

  place(index) {
    const tile = h(
      "div",
      {
        class: "tile",
        role: "option",
        id: `tile-${index}`,
        "data-index": index,
        "aria-selected": String(index === this.at),
      },
      h("img", { alt: "", decoding: "async" }),
    );
    const [row, column] = [Math.floor(index / this.columns), index % this.columns];
    tile.style.width = `${this.tile}px`;
    tile.style.height = `${this.rowHeight - GAP}px`;
    tile.style.transform = `translate(${column * (this.tile + GAP)}px, ${row * this.rowHeight}px)`;
    tile.setAttribute("aria-posinset", index + 1);
    tile.setAttribute("aria-setsize", this.total);
    this.tiles.set(index, tile);
    this.fill(index);
    this.element.append(tile);
  }

  fill(index) {
    const tile = this.tiles.get(index);
    const picture = this.listing.items[index];
    if (!tile || !picture || tile.dataset.filled) return;
    tile.dataset.filled = "1";
    tile.append(...this.caption(picture));
  }

  /** Ask for the pictures that can be seen, once scrolling rests. */
  showPictures() {
    for (const [index, tile] of this.tiles) {
      const picture = this.listing.items[index];
      if (!picture) continue;
      showPicture(tile.firstChild, this.thumbnail(picture));
      this.lay(tile, picture);
    }
  }

  /** Bring a tile's overlays in line with what is switched on. */
  lay(tile, picture) {
    const wanted = [...this.on].join(" ");
    if ((tile.dataset.layers ?? "") === wanted) return;
    tile.dataset.layers = wanted;
    for (const old of tile.querySelectorAll(".layer")) old.remove();
    for (const { layer, url } of this.overlays(picture)) {
      const image = h("img", { class: `layer ${layer}`, alt: "" });
      tile.append(image);
      showPicture(image, url);
    }
    if (this.on.has("boxes")) {
      tile.append(
        s(
          "svg",
          { class: "layer marks", viewBox: `0 0 ${picture.width} ${picture.height}`, "aria-hidden": "true" },
          this.marks(picture),
        ),
      );
    }
  }

  toggle(layer) {
    if (this.on.has(layer)) this.on.delete(layer);
    else this.on.add(layer);
    this.showPictures();
  }

  clear() {
    this.on.clear();
    this.showPictures();
  }

  /** Fetch pages until what is in sight is known; scrolling on meanwhile changes the aim. */
  async load() {
    if (this.loading) return;
    this.loading = true;
    try {
      while (this.wanted > this.listing.items.length && !this.listing.ended) {
        await this.listing.more();
        for (const index of this.tiles.keys()) this.fill(index);
      }
      this.showPictures();
    } catch (problem) {
      if (problem.name !== "AbortError") this.complain(problem);
    } finally {
      this.loading = false;
    }
  }

  complain(problem) {
    this.element.querySelector(".wrong")?.remove();
    this.element.prepend(
      h(
        "p",
        { class: "wrong", role: "alert" },
        problem.message,
        " ",
        h(
          "button",
          {
            type: "button",
            onclick: () => {
              this.element.querySelector(".wrong").remove();
              this.load();
            },
          },
          "Try again",
        ),
      ),
    );
  }

  select(index, centred = false) {
    if (!this.total) return;
    this.mark("false");
    this.at = Math.max(0, Math.min(this.total - 1, index || 0));
    this.reveal(centred);
    this.chosen();
  }

  chosen() {
    this.mark("true");
    this.element.setAttribute("aria-activedescendant", `tile-${this.at}`);
    this.onSelect(this.at);
  }

  mark(selected) {
    this.tiles.get(this.at)?.setAttribute("aria-selected", selected);
  }

  /** Scroll so that the selected row is in sight, below the bars. */
  reveal(centred) {
    const start = this.element.getBoundingClientRect().top + window.scrollY;
    const row = start + Math.floor(this.at / this.columns) * this.rowHeight;
    const [from, to] = [
      window.scrollY + this.top,
      window.scrollY + window.innerHeight - this.rowHeight - GAP,
    ];
    if (centred) window.scrollTo(0, Math.max(0, row - (window.innerHeight - this.rowHeight) / 2));
    else if (row < from) window.scrollTo(0, Math.max(0, row - this.top));
    else if (row > to) window.scrollTo(0, row - (to - window.scrollY));
    this.draw();
  }

  clicked(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    this.select(Number(tile.dataset.index));
    this.onOpen(this.at);
  }
}
