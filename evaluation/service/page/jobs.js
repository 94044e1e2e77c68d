// The list of jobs.

import { address, ask } from "./api.js";
import { h } from "./dom.js";
import { jobCard } from "./job.js";
import { listView } from "./listing.js";

// A job does not say what it was called; the runs that came of jobs do.
const names = new Map();

export async function jobsView(context) {
  const { signal } = context;
  await listView(context, "job", {
    title: "Jobs",
    head: h("h1", {}, "Jobs"),
    empty: h("p", { class: "empty" }, "No jobs. ", h("a", { href: "#/submit" }, "Submit something.")),
    limit: 50,
    card: (job) => jobCard(job, signal, runOf),
    before: async () => {
      for (const run of (await ask(address("/runs", { limit: 200 }), { signal })).items)
        names.set(run.id, `${run.name} on ${run.dataset}`);
    },
  });
}

/** Where the run is that came of a job. */
export function runOf({ result, title }) {
  if (!result?.run) return null;
  return { href: `#/runs/${result.run}`, text: names.get(result.run) ?? (title || "See the run") };
}
