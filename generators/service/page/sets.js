// All sets, newest first; those that are being made keep themselves up to date.

import { address, ask, Listing } from "./api.js";
import { h, refill } from "./dom.js";
import { ENDED, follow, progressBar, WORDS } from "./job.js";
import { rowKeys, shortcuts } from "./keys.js";
import { count, when } from "./numbers.js";
import { pictureAddress, setAddress } from "./picture.js";
import { may } from "./session.js";
import { bytes, standingOf, titleOf, until } from "./words.js";

export async function setsView({ signal, show, query, note }) {
  const mine = h("input", { type: "checkbox", id: "mine", checked: query.get("mine") === "1" });
  const body = h("div");
  const load = async () => {
    const listing = new Listing("/sets", { limit: 30, mine: mine.checked || null }, signal);
    await listing.more();
    fill(body, listing, signal);
  };
  mine.addEventListener("change", () => {
    note({ mine: mine.checked ? "1" : null });
    load();
  });
  await load();
  show(
    "Sets",
    h(
      "div",
      { class: "heading" },
      h("h1", {}, "Sets"),
      may("submit") && h("a", { class: "primary", href: "#/new" }, "New set"),
    ),
    h("p", { class: "controls" }, mine, " ", h("label", { for: "mine" }, "Only mine")),
    body,
  );
  shortcuts(rowKeys(body, ".set .name", "set"), signal);
}

function fill(body, listing, signal) {
  if (!listing.items.length) {
    body.replaceChildren(
      h(
        "div",
        { class: "empty" },
        h("p", {}, "No sets yet. A set holds synthetic pictures of one defect class, with masks and boxes."),
        may("submit") && h("p", {}, h("a", { class: "primary", href: "#/new" }, "Ask for the first one")),
      ),
    );
    return;
  }
  const list = h("ol", { class: "sets" });
  const add = (sets) => list.append(...sets.map((set) => card(set, signal)));
  add(listing.items);
  const more = listing.ended ? null : h("button", { type: "button" }, "Older sets");
  more?.addEventListener("click", async () => {
    const before = listing.items.length;
    await listing.more();
    add(listing.items.slice(before));
    if (listing.ended) more.remove();
  });
  body.replaceChildren(list, ...(more ? [more] : []));
}

/** A set that keeps itself up to date until it has ended or `signal` aborts. */
function card(set, signal) {
  const parts = {
    cover: h("div", { class: "cover", "aria-hidden": "true" }),
    facts: h("div"),
    end: h("div", { class: "end" }),
  };
  fillCard(parts, set);
  if (!ENDED.includes(set.state)) {
    const update = async () => fillCard(parts, await ask(setAddress(set.id), { signal }));
    follow({ id: set.id }, () => update().catch(() => {}), signal);
  }
  const link = h("a", { class: "name", href: `#/sets/${set.id}` }, titleOf(set));
  return h(
    "li",
    { class: "set", "data-row": true },
    parts.cover,
    h("div", { class: "about" }, link, parts.facts),
    parts.end,
  );
}

function fillCard({ cover, facts, end }, set) {
  // Pictures that are there already are not fetched again.
  for (const picture of set.cover.slice(cover.childElementCount, 4)) {
    const src = address(`${pictureAddress(set.id, picture)}/image`, { size: "thumbnail" });
    cover.append(h("img", { alt: "", loading: "lazy", src }));
  }
  const active = !ENDED.includes(set.state);
  refill(
    facts,
    h("p", { class: "soft" }, factsOf(set).join(" · ")),
    active && progressBar({ done: set.accepted, total: set.count }),
    active && h("p", { class: "soft" }, standingOf(set)),
    set.error && h("p", { class: set.state === "failed" ? "wrong" : "soft" }, set.error),
  );
  refill(
    end,
    h("span", { class: `state ${set.state}` }, WORDS[set.state]),
    h("time", { class: "soft", datetime: set.created }, when(set.created)),
  );
}

function factsOf(set) {
  const decided = set.kept + set.dropped;
  return [
    `${count(set.accepted)} of ${count(set.count)} accepted`,
    decided && `${count(set.kept)} kept, ${count(set.dropped)} rejected by hand`,
    set.bytes && bytes(set.bytes),
    set.expires && `goes ${until(set.expires)}`,
    set.mine ? null : `of ${set.owner}`,
  ].filter(Boolean);
}
