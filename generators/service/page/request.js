// The form that asks for a set: what is possible, what it costs, and what is wrong with it.

import { ask, newKey } from "./api.js";
import { costLines, costOf, Resting } from "./cost.js";
import { h } from "./dom.js";
import { Fields } from "./fields.js";
import { request } from "./more.js";
import { setAddress } from "./picture.js";
import { asWriter, may } from "./session.js";

export async function requestView({ query, signal, show }) {
  if (!may("submit")) {
    show(
      "New set",
      h("h1", {}, "New set"),
      h("p", {}, "Your token is for reading. Ask the service's operator for one that may submit."),
    );
    return;
  }
  const [options, from] = await Promise.all([ask("/options", { signal }), asked(query.get("from"), signal)]);
  if (!options.catalogs.length) {
    show("New set", h("h1", {}, "New set"), h("p", {}, "The operator has given this service no pictures."));
    return;
  }
  const form = new RequestForm(options, { ...options.defaults, ...from }, signal);
  show("New set", h("h1", {}, "New set"), form.element);
  form.reckon();
}

/** What another set was asked for, to begin with. */
async function asked(set, signal) {
  if (!set) return {};
  const { request: body } = await ask(setAddress(set), { signal });
  return { ...body, seed: null, title: null, like: null };
}

class RequestForm {
  constructor(options, body, signal) {
    this.signal = signal;
    this.fields = new Fields(options, body, () => this.changed());
    this.cost = h("div", { class: "costs", "aria-live": "polite" });
    this.wrong = h("p", { class: "wrong", role: "alert" });
    this.send = h("button", { class: "primary" }, "Make the set");
    this.asking = new Resting(
      async () => {
        const found = await costOf(this.fields.body(), signal);
        return () => {
          this.fields.clear();
          this.cost.replaceChildren(...costLines(found));
        };
      },
      (problem) => this.refused(problem),
      signal,
    );
    this.element = h(
      "form",
      { class: "request", novalidate: true, onsubmit: (event) => this.submitted(event) },
      h("div", { class: "asked" }, this.fields.elements()),
      h(
        "aside",
        { class: "bill", "aria-label": "Cost" },
        h("h2", {}, "Cost"),
        this.cost,
        h("p", { class: "soft" }, "Steps times pixels of every picture that may be tried, in millions."),
        this.wrong,
        this.send,
      ),
    );
    this.key = newKey();
  }

  changed() {
    // Another request is another job.
    this.key = newKey();
    this.wrong.textContent = "";
    this.reckon();
  }

  reckon() {
    if (this.fields.isRight()) this.asking.call();
    else this.asking.stop();
  }

  async submitted(event) {
    event.preventDefault();
    this.wrong.textContent = "";
    if (!this.fields.check()) return;
    this.send.disabled = true;
    try {
      const job = await asWriter(() => request(this.fields.body(), this.key));
      location.hash = `#/sets/${job.id}`;
    } catch (problem) {
      if (problem.name !== "AbortError") this.refused(problem, true);
    } finally {
      this.send.disabled = false;
    }
  }

  /** Say what is wrong at the fields it is wrong with, and the rest above the button. */
  refused(problem, focus = false) {
    const left = problem.errors?.length ? this.fields.complain(problem.errors, focus) : [problem.message];
    this.wrong.textContent = left.join(" ");
  }
}
