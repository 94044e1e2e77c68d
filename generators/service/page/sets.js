// All sets, newest first; those that are being made keep themselves up to date.

import { address, ask } from "./api.js";
import { h, refill } from "./dom.js";
import { ENDED, follow, progressBar, WORDS } from "./job.js";
import { listView } from "./listing.js";
import { count, when } from "./numbers.js";
import { pictureAddress, setAddress } from "./picture.js";
import { may } from "./session.js";
import { bytes, standingOf, titleOf, until } from "./words.js";

export async function setsView(context) {
  const asks = (text) => may("submit") && h("a", { class: "primary", href: "#/new" }, text);
  await listView(context, "set", {
    title: "Sets",
    head: h("div", { class: "heading" }, h("h1", {}, "Sets"), asks("New set")),
    empty: h(
      "div",
      { class: "empty" },
      h("p", {}, "No sets yet. A set holds synthetic pictures of one defect class, with masks and boxes."),
      may("submit") && h("p", {}, asks("Ask for the first one")),
    ),
    limit: 30,
    card: (set) => card(set, context.signal),
  });
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
