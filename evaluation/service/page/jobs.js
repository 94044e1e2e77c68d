// Jobs: what runs, how far it is, and ending it. Progress comes as Server-Sent Events.

import { address, ask, Listing, loseConnection } from "./api.js";
import { announce, h } from "./dom.js";
import { rowKeys, shortcuts } from "./keys.js";
import { count, when } from "./metrics.js";
import { asWriter, may } from "./session.js";

const ENDED = ["done", "failed", "cancelled"];
const WORDS = {
  queued: "Waiting",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};
// A browser opens six connections to a host over HTTP/1.1; streams must leave room for the rest.
const STREAMS = 2;
const LOOK_AGAIN_MS = 4000;
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
  const add = (jobs) => list.append(...jobs.map((job) => jobCard(job, signal)));
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

let streams = 0;

/** A job that keeps itself up to date until it has ended or `signal` aborts. */
export function jobCard(job, signal, onEnd = () => {}) {
  const card = h("li", { class: "job", "data-row": true });
  const update = (now) => {
    fillJob(card, now, update);
    if (ENDED.includes(now.state)) onEnd(now);
  };
  fillJob(card, job, update);
  if (ENDED.includes(job.state)) onEnd(job);
  else follow(job, update, signal);
  return card;
}

function fillJob(card, job, update) {
  const active = !ENDED.includes(job.state);
  const bar = h(
    "progress",
    job.total ? { max: job.total, value: job.done, "aria-label": "Progress" } : { "aria-label": "Progress" },
  );
  const cancel = h(
    "button",
    { type: "button", disabled: job.cancelling },
    job.cancelling ? "Ending…" : "Cancel",
  );
  cancel.addEventListener("click", async () => {
    try {
      update(await asWriter(() => ask(`/jobs/${job.id}/cancel`, { method: "POST" })));
    } catch (problem) {
      if (problem.name !== "AbortError")
        card.append(h("p", { class: "wrong", role: "alert" }, problem.message));
    }
  });
  const run = job.result?.run;
  const head = h(
    "div",
    { class: "line" },
    h("span", { class: `state ${job.state}` }, WORDS[job.state]),
    h(
      "span",
      { class: "what" },
      run
        ? h("a", { class: "name", href: `#/runs/${run}` }, names.get(run) ?? (job.title || "See the run"))
        : h("span", { class: "name", tabindex: -1 }, job.title || job.kind),
      " ",
      h("code", { class: "soft", title: job.id }, job.id.slice(0, 8)),
    ),
    h("time", { class: "soft", datetime: job.created }, when(job.created)),
    active && may("submit") ? cancel : null,
  );
  card.className = `job ${job.state}`;
  card.replaceChildren(
    head,
    ...(active ? [bar, h("p", { class: "soft" }, stand(job))] : []),
    ...(job.error ? [h("p", { class: job.state === "failed" ? "wrong" : "soft" }, job.error)] : []),
  );
}

function stand(job) {
  const part = job.total ? `${count(job.done)} of ${count(job.total)}` : "";
  const attempt = job.attempts > 1 ? `attempt ${job.attempts}` : "";
  return [job.state === "queued" ? "waits for its turn" : job.message, part, attempt]
    .filter(Boolean)
    .join(" · ");
}

function follow(job, update, signal) {
  if (streams >= STREAMS) return void poll(job, update, signal);
  streams += 1;
  const source = new EventSource(`/jobs/${job.id}/events`);
  let open = true;
  const stop = () => {
    if (!open) return;
    open = false;
    streams -= 1;
    source.close();
  };
  signal.addEventListener("abort", stop);
  for (const state of Object.keys(WORDS)) {
    source.addEventListener(state, (event) => {
      const now = JSON.parse(event.data);
      if (ENDED.includes(now.state)) {
        stop();
        announce(`Job ${WORDS[now.state].toLowerCase()}`);
      }
      update(now);
    });
  }
  source.addEventListener("error", () => {
    // The browser tries again by itself after a broken stream, but never after a refusal.
    if (source.readyState === EventSource.CLOSED && open) {
      stop();
      poll(job, update, signal);
    } else if (!navigator.onLine) loseConnection();
  });
  return undefined;
}

function poll(job, update, signal) {
  const timer = setTimeout(async () => {
    if (signal.aborted) return;
    let now = job;
    try {
      now = await ask(address(`/jobs/${job.id}`), { signal });
      update(now);
    } catch (problem) {
      if (problem.name === "AbortError" || problem.status === 404) return;
    }
    if (!ENDED.includes(now.state)) poll(now, update, signal);
  }, LOOK_AGAIN_MS);
  signal.addEventListener("abort", () => clearTimeout(timer));
}
