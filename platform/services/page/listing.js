// A list of what was asked for, newest first: only one's own by option, older ones by a button.

import { Listing } from "./api.js";
import { h } from "./dom.js";
import { rowKeys, shortcuts } from "./keys.js";

/**
 * Show all items of a kind, such as "job": they come from `/jobs`, `limit` at a time, and each
 * stands in the list as `card(item)`. `before` is awaited ahead of each first page.
 */
export async function listView({ signal, show, query, note }, kind, parts) {
  const { title, head, empty, limit, card, before = () => {} } = parts;
  const mine = h("input", { type: "checkbox", id: "mine", checked: query.get("mine") === "1" });
  const body = h("div");
  const load = async () => {
    await before();
    const listing = new Listing(`/${kind}s`, { limit, mine: mine.checked || null }, signal);
    await listing.more();
    body.replaceChildren(...(listing.items.length ? rows(listing, kind, card) : [empty]));
  };
  mine.addEventListener("change", () => {
    note({ mine: mine.checked ? "1" : null });
    load();
  });
  await load();
  const only = h("p", { class: "controls" }, mine, " ", h("label", { for: "mine" }, "Only mine"));
  show(title, head, only, body);
  shortcuts(rowKeys(body, `.${kind} .name`, kind), signal);
}

function rows(listing, kind, card) {
  const list = h("ol", { class: `${kind}s` });
  const add = (items) => list.append(...items.map(card));
  add(listing.items);
  if (listing.ended) return [list];
  const more = h("button", { type: "button" }, `Older ${kind}s`);
  more.addEventListener("click", async () => {
    const before = listing.items.length;
    await listing.more();
    add(listing.items.slice(before));
    if (listing.ended) more.remove();
  });
  return [list, more];
}
