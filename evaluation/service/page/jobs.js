// The list of jobs.

import { address, ask, Listing } from "./api.js";
import { h } from "./dom.js";
import { jobCard } from "./job.js";
import { rowKeys, shortcuts } from "./keys.js";

// A job does not say what it was called; the runs that came of jobs do.
const names = new Map();

export async function jobsView({ signal, show, query, note }) {
  const mine = h("input", { type: "checkbox", id: "mine", checked: query.get("mine") === "1" });
  const body = h("div");
  const load = async () => {
    for (const run of (await ask(address("/runs", { limit: 200 }), { signal })).items)
      names.set(run.id, `${run.name} on ${run.dataset}`);
    const listing = new Listing("/jobs", { limit: 50, mine: mine.checked || null }, signal);
    await listing.more();
    fillJobs(body, listing, signal);
  };
  mine.addEventListener("change", () => {
    note({ mine: mine.checked ? "1" : null });
    load();
  });
  await load();
  show(
    "Jobs",
    h("h1", {}, "Jobs"),
    h("p", { class: "controls" }, mine, " ", h("label", { for: "mine" }, "Only mine")),
    body,
  );
  shortcuts(rowKeys(body, ".job .name", "job"), signal);
}

function fillJobs(body, listing, signal) {
  if (!listing.items.length) {
    body.replaceChildren(
      h("p", { class: "empty" }, "No jobs. ", h("a", { href: "#/submit" }, "Submit something.")),
    );
    return;
  }
  const list = h("ol", { class: "jobs" });
  const add = (jobs) => list.append(...jobs.map((job) => jobCard(job, signal, runOf)));
  add(listing.items);
  const more = listing.ended ? null : h("button", { type: "button" }, "Older jobs");
  more?.addEventListener("click", async () => {
    const before = listing.items.length;
    await listing.more();
    add(listing.items.slice(before));
    if (listing.ended) more.remove();
  });
  body.replaceChildren(list, ...(more ? [more] : []));
}

/** Where the run is that came of a job. */
export function runOf({ result, title }) {
  if (!result?.run) return null;
  return { href: `#/runs/${result.run}`, text: names.get(result.run) ?? (title || "See the run") };
}
