// What stands above a set's pictures: its state, how far it is, and what one may do with all of it.
// Elements stay while numbers change, so that no click on them is lost.

import { address, ask } from "./api.js";
import { h, refill } from "./dom.js";
import { cancelButton, ENDED, WORDS } from "./job.js";
import { openDialog } from "./keys.js";
import { count, when } from "./numbers.js";
import { setAddress } from "./picture.js";
import { asWriter, may } from "./session.js";
import { standingOf, titleOf } from "./words.js";

export class SetHead {
  /** `ending(job)` hears that the set is being cancelled. */
  constructor(set, ending) {
    Object.assign(this, { set, ending });
    this.state = h("span");
    this.time = h("span", { class: "soft" });
    this.end = h("span", { class: "end" });
    this.zip = zipLink(set, "undropped", "primary");
    this.zipKept = zipLink(set, "kept", "button");
    this.bar = h("progress", { "aria-label": "Progress" });
    this.message = h("p", { class: "soft" });
    this.progress = h("div", { class: "progress-of-set" }, this.bar, this.message);
    this.remarks = h("div");
    this.element = h(
      "div",
      { class: "set-head" },
      h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Sets")),
      h(
        "div",
        { class: "heading" },
        h("h1", {}, titleOf(set)),
        this.state,
        this.time,
        h("div", { class: "actions" }, this.end, this.zip, this.zipKept, this.again()),
      ),
      this.progress,
      this.remarks,
    );
  }

  again() {
    return may("submit") && h("a", { class: "button", href: `#/new?from=${this.set.id}` }, "Ask again");
  }

  /** Bring everything in line with the set. */
  update() {
    const { set } = this;
    const active = !ENDED.includes(set.state);
    this.state.className = `state ${set.state}`;
    this.state.textContent = set.short && set.state === "done" ? "Ended short" : WORDS[set.state];
    this.time.textContent = `${set.mine ? "" : `of ${set.owner}, `}${when(set.created)}`;
    this.progress.hidden = !active;
    this.bar.max = set.count;
    this.bar.value = set.accepted;
    this.message.textContent = standingOf(set);
    this.updateZips();
    const now = `${active} ${Boolean(set.cancelling)}`;
    if (now === this.shown) return;
    this.shown = now;
    refill(this.end, this.ender(active));
    refill(this.remarks, this.remarksOf());
  }

  updateZips() {
    const { accepted, dropped, kept } = this.set;
    const left = accepted - dropped;
    this.zip.hidden = left === 0;
    this.zip.textContent = `Zip of ${count(left)}`;
    this.zip.setAttribute("aria-label", `Zip of the ${left} pictures that are not rejected`);
    this.zipKept.hidden = kept === 0 || kept === left;
    this.zipKept.textContent = `Zip of the ${count(kept)} kept`;
  }

  /** What ends a set: cancelling while it is made, deleting after. */
  ender(active) {
    if (!this.set.mine || !may("submit")) return null;
    return active ? cancelButton(this.set, this.progress, this.ending) : deleteButton(this.set);
  }

  remarksOf() {
    const { error, state, notes } = this.set;
    return [
      error && h("p", { class: state === "failed" ? "wrong" : "soft", role: "alert" }, error),
      notes.length > 0 &&
        h(
          "div",
          { class: "warnings" },
          notes.map((text) => h("p", {}, text)),
        ),
    ];
  }
}

/** A plain link: the browser saves the zip while it is being packed. */
function zipLink(set, which, kind) {
  return h("a", { class: kind, href: address(`${setAddress(set.id)}/archive`, { which }), download: true });
}

function deleteButton(set) {
  const confirm = () => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const really = h("button", { type: "button", class: "danger" }, "Delete the set");
    const dialog = openDialog(
      "Delete this set?",
      h("p", {}, `All ${count(set.attempts)} pictures of “${titleOf(set)}” go. They cannot be brought back.`),
      wrong,
      really,
    );
    really.addEventListener("click", async () => {
      try {
        await asWriter(() => ask(setAddress(set.id), { method: "DELETE" }));
        dialog.close();
        location.hash = "#/";
      } catch (problem) {
        wrong.textContent = problem.message;
      }
    });
  };
  return h("button", { type: "button", class: "quiet", onclick: confirm }, "Delete");
}
