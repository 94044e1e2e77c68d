// The pictures of a set that have arrived, and those of them that are shown.

import { address, ask } from "./api.js";
import { fateOf, setAddress } from "./picture.js";

const PAGE_SIZE = 200;

// kind: [its name, what it holds]
export const SHOWN = {
  all: ["All", "All pictures"],
  open: ["To look at", "Those that no filter rejected and nobody has decided on"],
  kept: ["Kept", "Those kept by hand"],
  dropped: ["Rejected", "Those rejected by hand"],
  filtered: ["Filtered out", "Those rejected by filters"],
};

/** A listing, as a grid wants it, of the pictures of one kind. */
export class Pictures {
  constructor(set, signal) {
    Object.assign(this, { set, signal, all: [], items: [], show: "all", cursor: null, ended: true });
  }

  /** Fetch what has arrived since the last time. */
  async load() {
    const path = `${setAddress(this.set.id)}/pictures`;
    for (;;) {
      const page = await ask(address(path, { limit: PAGE_SIZE, cursor: this.cursor }), {
        signal: this.signal,
      });
      this.take(page.items);
      this.cursor = page.next_cursor ?? page.latest;
      if (!page.next_cursor) return;
    }
  }

  take(pictures) {
    // Numbered in the set; the service's numbers go on from set to set.
    for (const picture of pictures) {
      this.all.push(picture);
      picture.place = this.all.length;
    }
    this.items.push(...pictures.filter((picture) => this.shows(picture)));
  }

  shows(picture) {
    return this.show === "all" || this.show === fateOf(picture).kind;
  }

  /** Show pictures of another kind. */
  choose(show) {
    this.show = show;
    this.items = this.all.filter((picture) => this.shows(picture));
  }

  /** How many there are of each kind in SHOWN. */
  counts() {
    const counts = Object.fromEntries(Object.keys(SHOWN).map((kind) => [kind, 0]));
    for (const picture of this.all) {
      counts.all += 1;
      counts[fateOf(picture).kind] += 1;
    }
    return counts;
  }

  get total() {
    return this.items.length;
  }
}
