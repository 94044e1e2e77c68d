// What a request would cost, asked of the service while the form changes.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { effort } from "./words.js";

const REST_MS = 300;

/** Ask what `body` would cost; throws a Problem where it would be refused. */
export function costOf(body, signal) {
  return ask("/cost", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

/** Say a cost against what is left of the day. */
export function costLines({ megapixel_steps: cost, megapixel_steps_each: each, left }) {
  const enough = cost <= left;
  return [
    h("p", { class: "cost" }, "at most ", h("b", {}, effort(cost))),
    h("p", { class: "soft" }, `at most ${effort(each)} for each try`),
    h(
      "p",
      { class: enough ? "soft" : "wrong" },
      `${enough ? "" : "Only "}${effort(left)} are left of your day.`,
    ),
    h("progress", { max: Math.max(left, cost), value: cost, "aria-label": "Share of what is left" }),
  ];
}

/** Calls `work` once changes rest; an answer that was overtaken is dropped. */
export class Resting {
  constructor(work, onProblem, signal) {
    Object.assign(this, { work, onProblem, signal, number: 0 });
  }

  call() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), REST_MS);
  }

  stop() {
    clearTimeout(this.timer);
  }

  async run() {
    this.number += 1;
    const { number } = this;
    try {
      const show = await this.work();
      if (number === this.number && !this.signal.aborted) show();
    } catch (problem) {
      if (number === this.number && problem.name !== "AbortError") this.onProblem(problem);
    }
  }
}
