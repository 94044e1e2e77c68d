// More like this: a further set, made of the same real pictures as one picture.

import { ask, newKey } from "./api.js";
import { costLines, costOf, Resting } from "./cost.js";
import { h } from "./dom.js";
import { openDialog } from "./keys.js";
import { asWriter } from "./session.js";
import { toast } from "./toast.js";

const COUNT = 16;
const MEANS = {
  copy_paste: "The same real defect on the same plate, placed anew.",
  inpaint: "The same plate, with the mask of the same real defect placed anew.",
  variation: "Noised and drawn again from the same real picture.",
  text: "The same words, other seeds.",
  procedural: "The same kind of surface and defect, other seeds.",
};

export function moreLikeThis(set, picture) {
  const over = new AbortController();
  const like = { set: set.id, picture: picture.id };
  const field = h("input", { id: "more", type: "number", min: 1, step: 1, value: COUNT, required: true });
  const cost = h("div", { "aria-live": "polite" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const send = h("button", { class: "primary" }, "Make them");
  const body = () => ({ like, count: Number(field.value) });
  const say = (problem) => {
    wrong.textContent = problem.message;
  };
  const asking = new Resting(
    async () => {
      const found = await costOf(body(), over.signal);
      return () => {
        wrong.textContent = "";
        cost.replaceChildren(...costLines(found));
      };
    },
    say,
    over.signal,
  );
  const form = h(
    "form",
    { class: "fields" },
    h("p", {}, MEANS[set.mode]),
    h("label", { for: "more" }, "How many"),
    field,
    cost,
    wrong,
    send,
  );
  const dialog = openDialog("More like this", form);
  dialog.addEventListener("close", () => over.abort());
  field.addEventListener("input", () => asking.call());
  const key = newKey();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      const job = await asWriter(() => request(body(), `${key}-${field.value}`));
      dialog.close();
      toast(["On its way: ", h("a", { href: `#/sets/${job.id}` }, `${field.value} more like this`)]);
    } catch (problem) {
      if (problem.name !== "AbortError") say(problem);
    } finally {
      send.disabled = false;
    }
  });
  field.select();
  asking.run();
}

/** Ask for a set; the same key again gives the same job. */
export function request(body, key) {
  return ask("/sets", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": key },
    body: JSON.stringify(body),
  });
}
