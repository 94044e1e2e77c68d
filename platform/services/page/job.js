// A job: what runs, how far it is, and ending it. Progress comes as Server-Sent Events.

import { address, ask, loseConnection } from "./api.js";
import { announce, h } from "./dom.js";
import { count, when } from "./numbers.js";
import { asWriter, may } from "./session.js";

export const ENDED = ["done", "failed", "cancelled"];
export const WORDS = {
  queued: "Waiting",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};
// A browser opens six connections to a host over HTTP/1.1; streams must leave room for the rest.
const STREAMS = 2;
const LOOK_AGAIN_MS = 4000;

let streams = 0;

/**
 * A job that keeps itself up to date until it has ended or `signal` aborts. `link(job)` says what
 * came of it as {href, text}, or null.
 */
export function jobCard(job, signal, link, onEnd = () => {}) {
  const card = h("li", { class: "job", "data-row": true });
  const update = (now) => {
    fillJob(card, now, link, update);
    if (ENDED.includes(now.state)) onEnd(now);
  };
  fillJob(card, job, link, update);
  if (ENDED.includes(job.state)) onEnd(job);
  else follow(job, update, signal);
  return card;
}

function fillJob(card, job, link, update) {
  const active = !ENDED.includes(job.state);
  const made = link(job);
  const head = h(
    "div",
    { class: "line" },
    h("span", { class: `state ${job.state}` }, WORDS[job.state]),
    h(
      "span",
      { class: "what" },
      made
        ? h("a", { class: "name", href: made.href }, made.text)
        : h("span", { class: "name", tabindex: -1 }, job.title || job.kind),
      " ",
      h("code", { class: "soft", title: job.id }, job.id.slice(0, 8)),
    ),
    h("time", { class: "soft", datetime: job.created }, when(job.created)),
    active && may("submit") ? cancelButton(job, card, update) : null,
  );
  card.className = `job ${job.state}`;
  card.replaceChildren(
    head,
    ...(active ? [progressBar(job), h("p", { class: "soft" }, standing(job))] : []),
    ...(job.error ? [h("p", { class: job.state === "failed" ? "wrong" : "soft" }, job.error)] : []),
  );
}

export function progressBar({ done, total }) {
  return h("progress", { ...(total ? { max: total, value: done } : {}), "aria-label": "Progress" });
}

/** Ends a job; what went wrong is said at the end of `place`. */
export function cancelButton(job, place, update) {
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
        place.append(h("p", { class: "wrong", role: "alert" }, problem.message));
    }
  });
  return cancel;
}

/** Where an unfinished job stands, in words. */
export function standing(job) {
  const part = job.total ? `${count(job.done)} of ${count(job.total)}` : "";
  const attempt = job.attempts > 1 ? `attempt ${job.attempts}` : "";
  return [job.state === "queued" ? "waits for its turn" : job.message, part, attempt]
    .filter(Boolean)
    .join(" · ");
}

/** Call `update` with each state of a job until it has ended or `signal` aborts. */
export function follow(job, update, signal) {
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
