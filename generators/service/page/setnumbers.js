// A set's numbers: how many pictures of which fate, why some were rejected, what was asked for.

import { DIFFUSION } from "./controls.js";
import { h, refill, term } from "./dom.js";
import { count, number } from "./numbers.js";
import { factList } from "./viewer.js";
import { bytes, effort, filterWords, MODES, until } from "./words.js";

// name: [title, explanation]
const BIG = {
  accepted: ["Accepted", "No filter rejected them."],
  rate: ["Accept rate", "Share of the pictures tried that no filter rejected."],
  kept: ["Kept", "Kept by hand."],
  dropped: ["Rejected by hand", "They stay out of the zip."],
};
const COLUMNS = ["Filter", "Judged", "Rejected", "By it alone", "Abstained", "Let pass"];

export class SetNumbers {
  constructor(set, pictures) {
    Object.assign(this, { set, pictures, big: {} });
    for (const name of Object.keys(BIG)) this.big[name] = h("dd", { class: "big" });
    this.reasons = h("div");
    this.asked = h("div");
    this.element = h(
      "div",
      { class: "numbers-of-set" },
      h(
        "dl",
        { class: "headline" },
        Object.entries(BIG).map(([name, [title, explanation]]) =>
          h("div", {}, h("dt", {}, term(title, explanation)), this.big[name]),
        ),
      ),
      h(
        "div",
        { class: "folds" },
        h("details", { id: "reasons" }, h("summary", {}, "Why pictures were rejected"), this.reasons),
        h("details", { id: "asked" }, h("summary", {}, "What was asked for"), this.asked),
      ),
    );
  }

  /** Bring everything in line with the set and its pictures. */
  update() {
    this.counted();
    this.reasons.replaceChildren(reasonTable(this.set.table));
    refill(this.asked, requestFacts(this.set));
  }

  /** The numbers that change with a decision. */
  counted() {
    const { all: tried, filtered, open, kept, dropped } = this.pictures.counts();
    const accepted = tried - filtered;
    const say = (name, value, small) => this.big[name].replaceChildren(value, " ", h("small", {}, small));
    say("accepted", count(accepted), `of ${count(this.set.count)} wanted`);
    say("rate", tried ? `${number(accepted / tried, { digits: 0 })} %` : "–", `of ${count(tried)} tried`);
    say("kept", count(kept), `${count(open)} to look at`);
    say("dropped", count(dropped), "");
  }
}

function reasonTable(table) {
  const rows = table.filter(({ judged }) => judged);
  if (!rows.length) return h("p", { class: "soft" }, "Nothing has been judged yet.");
  return h(
    "div",
    { class: "wide" },
    h(
      "table",
      { class: "reasons" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          COLUMNS.map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h("tbody", {}, rows.map(reasonRow)),
    ),
  );
}

function reasonRow({ filter, judged, rejected, alone, abstained, accepted }) {
  const { fault, means } = filterWords(filter);
  return h(
    "tr",
    {},
    h("th", { scope: "row", title: means }, fault),
    [judged, rejected, alone, abstained].map((n) => h("td", {}, count(n))),
    h("td", {}, `${number(accepted, { digits: 0 })} %`),
  );
}

function requestFacts(set) {
  const { request } = set;
  const diffusion = DIFFUSION.includes(set.mode);
  return factList({
    Mode: MODES[set.mode].name,
    Pictures: set.catalog,
    Class: set.label,
    Wanted: count(set.count),
    Masks: set.mode === "inpaint" ? request.masks : null,
    Strength: diffusion && set.mode !== "text" ? request.strength : null,
    Guidance: diffusion ? request.guidance : null,
    Steps: diffusion ? request.steps : null,
    Seed: request.seed,
    "Base model": request.base,
    Adapter: request.adapter,
    Words: request.prompt,
    "More like": set.like
      ? h("a", { href: `#/sets/${set.like.set}` }, `picture ${set.like.picture} of another set`)
      : null,
    Work: effort(set.megapixel_steps),
    Size: bytes(set.bytes),
    Expiry: set.expires ? `goes ${until(set.expires)}` : null,
  });
}
