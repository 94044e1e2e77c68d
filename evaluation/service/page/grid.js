// A listbox of thumbnails that keeps only what is near the screen in the document.

import { h, s } from "./dom.js";
import { pictureAddress, showPicture } from "./images.js";
import { number, VERDICTS } from "./metrics.js";
import { boxMarks, overlaysOf } from "./overlays.js";

const WIDEST = 190;
const LEAST_COLUMNS = 2;
const GAP = 8;
const CAPTION = 48;
const SHAPE = 0.78;
const REACH = 0.5;
const QUIET_MS = 90;
// None at first: an overlay may hide what one looks for. What is switched on stays so.
const on = new Set();

export class Grid {
  constructor({ run, listing, signal, onSelect, onOpen }) {
    Object.assign(this, { run, listing, signal, onSelect, onOpen });
    this.at = 0;
    this.columns = 1;
    this.tiles = new Map();
    this.element = h("div", {
      class: "grid",
      role: "listbox",
      tabindex: 0,
      "aria-label": "Pictures",
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
    this.measure();
    const left = history.state?.y;
    this.at = Math.max(0, Math.min(this.total - 1, at || 0));
    if (left === undefined) this.reveal(at > 0);
    else window.scrollTo(0, left);
    this.draw();
    this.mark("true");
    this.onSelect(this.at);
    this.element.setAttribute("aria-activedescendant", `tile-${this.at}`);
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
    this.element.style.height = `${Math.ceil(this.total / columns) * this.rowHeight}px`;
    this.element.classList.toggle("nothing", this.total === 0);
    for (const one of this.tiles.values()) one.remove();
    this.tiles.clear();
    if (keep) this.reveal(true);
    this.draw();
    this.showPictures();
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
    const [verdict] = VERDICTS[picture.verdict] ?? [
      picture.decision === null ? "" : picture.decision ? "Stop" : "Ship",
    ];
    const score = picture.score === null ? "" : number(picture.score, { plain: true });
    tile.append(
      h("span", { class: `verdict ${picture.verdict ?? ""}` }, verdict),
      h("span", { class: "score" }, score),
      h("span", { class: "file soft" }, picture.file.split("/").pop()),
    );
  }

  /** Ask for the pictures that can be seen, once scrolling rests. */
  showPictures() {
    for (const [index, tile] of this.tiles) {
      const picture = this.listing.items[index];
      if (!picture) continue;
      showPicture(tile.firstChild, pictureAddress(this.run.dataset, picture.sample_id, "thumbnail"));
      this.lay(tile, picture);
    }
  }

  /** Bring a tile's overlays in line with what is switched on. */
  lay(tile, picture) {
    const wanted = [...on].join(" ");
    if ((tile.dataset.layers ?? "") === wanted) return;
    tile.dataset.layers = wanted;
    for (const old of tile.querySelectorAll(".layer")) old.remove();
    for (const { layer, url } of overlaysOf(this.run, picture, on)) {
      const image = h("img", { class: `layer ${layer}`, alt: "" });
      tile.append(image);
      showPicture(image, url);
    }
    if (on.has("boxes")) {
      tile.append(
        s(
          "svg",
          { class: "layer marks", viewBox: `0 0 ${picture.width} ${picture.height}`, "aria-hidden": "true" },
          boxMarks(picture, false),
        ),
      );
    }
  }

  get layers() {
    return on;
  }

  toggle(layer) {
    if (on.has(layer)) on.delete(layer);
    else on.add(layer);
    this.showPictures();
  }

  clear() {
    on.clear();
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
