// Keeping and rejecting by hand, at once on the screen and then on the service, and taking it back.

import { ask } from "./api.js";
import { asWriter } from "./session.js";
import { pictureAddress } from "./picture.js";
import { toast } from "./toast.js";

export class Review {
  /** `onChange(picture)` hears of every changed decision. */
  constructor(set, onChange) {
    Object.assign(this, { set, onChange, done: [], waiting: new Set(), saved: new Map(), sending: false });
    // Decisions outlive the page that they were made on.
    window.addEventListener("pagehide", () => {
      for (const picture of this.waiting) this.put(picture).catch(() => {});
    });
  }

  /** Decide "keep" or "drop" on a picture, unless a filter has decided already. */
  decide(picture, decision) {
    if (!picture.accepted) {
      toast("A filter rejected that picture; it stays out.");
      return;
    }
    if (picture.decision === decision) return;
    this.done.push({ picture, before: picture.decision });
    this.change(picture, decision);
  }

  /** Take the last decision back; returns its picture, or null where there is none. */
  undo() {
    const last = this.done.pop();
    if (!last) {
      toast("Nothing to take back.");
      return null;
    }
    this.change(last.picture, last.before);
    return last.picture;
  }

  change(picture, decision) {
    if (!this.saved.has(picture)) this.saved.set(picture, picture.decision);
    this.waiting.add(picture);
    this.show(picture, decision);
    this.send();
  }

  /** Send what waits, one after the other, so that the last word on a picture is the last to arrive. */
  async send() {
    if (this.sending) return;
    this.sending = true;
    for (const picture of this.waiting) {
      this.waiting.delete(picture);
      const { decision } = picture;
      try {
        await asWriter(() => this.put(picture));
        this.saved.set(picture, decision);
      } catch (problem) {
        this.failed(picture, problem);
      }
    }
    this.sending = false;
  }

  put(picture) {
    return ask(pictureAddress(this.set, picture.id), {
      method: "PATCH",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ decision: picture.decision }),
      keepalive: true,
    });
  }

  failed(picture, problem) {
    this.done = this.done.filter((one) => one.picture !== picture);
    if (!this.waiting.has(picture)) this.show(picture, this.saved.get(picture));
    if (problem.name !== "AbortError") toast(`Not saved: ${problem.message}`, "bad");
  }

  show(picture, decision) {
    picture.decision = decision;
    this.onChange(picture);
  }
}
