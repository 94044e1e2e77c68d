// One run: headline numbers, a section per task, curves, where it came from.

import { address, all, ask } from "./api.js";
import { curvePlot, intervalBar } from "./charts.js";
import { h } from "./dom.js";
import { openDialog, shortcuts } from "./keys.js";
import { basis, interval, metric } from "./metrics.js";
import { number, when } from "./numbers.js";
import { asWriter, may, session } from "./session.js";
import { taskSections } from "./tables.js";

// The ones that people on the line ask for first.
const ORDER = [
  "escape_rate",
  "overkill_rate",
  "seg_miou",
  "seg_recall",
  "sample_f1",
  "map_50",
  "accuracy",
  "image_auroc",
];

export async function runView({ parts: [id], signal, show }) {
  const run = await ask(`/runs/${encodeURIComponent(id)}`, { signal });
  const sections = taskSections(run.evaluation);
  if (run.curves.length) sections.push(["curves", "Curves", curves(run.curves)]);
  sections.push(["provenance", "Where it comes from", provenance(run.provenance)]);
  const pick = () => pickRival(run, signal);
  show(
    run.name,
    h(
      "p",
      { class: "crumbs" },
      h("a", { href: `#/datasets/${encodeURIComponent(run.dataset)}` }, run.dataset),
    ),
    h("h1", {}, run.name),
    h(
      "p",
      { class: "soft" },
      `${run.owner} · ${when(run.created)}`,
      run.truth_visible ? null : " · labels of single pictures stay on the server",
    ),
    h(
      "div",
      { class: "actions" },
      h(
        "a",
        { class: "primary", href: `#/runs/${run.id}/gallery` },
        run.truth_visible ? "Pictures, worst first" : "Pictures",
      ),
      h("button", { type: "button", onclick: pick }, "Compare with…"),
      ownOrAdmin(run)
        ? h("button", { type: "button", class: "danger", onclick: () => confirmRemoval(run) }, "Delete")
        : null,
    ),
    warnings(run.warnings),
    ...headline(run.headline),
    jumps(sections),
    sections.map(([, , element]) => element),
  );
  shortcuts(
    [
      {
        on: ["v"],
        shown: "v",
        does: "View the pictures",
        run: () => {
          location.hash = `#/runs/${run.id}/gallery`;
        },
      },
      { on: ["c"], shown: "c", does: "Compare with another run", run: pick },
      {
        on: ["u"],
        shown: "u",
        does: "Up to the leaderboard",
        run: () => {
          location.hash = `#/datasets/${encodeURIComponent(run.dataset)}`;
        },
      },
    ],
    signal,
  );
}

function ownOrAdmin(run) {
  return may("admin") || (may("submit") && run.owner === session.me.name);
}

function warnings(texts) {
  if (!texts.length) return null;
  return h(
    "section",
    { class: "warnings", "aria-label": "Warnings" },
    h(
      "ul",
      {},
      texts.map((text) => h("li", {}, text)),
    ),
  );
}

function headline(numbers) {
  const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  const names = Object.keys(numbers).sort((a, b) => rank(a) - rank(b));
  const tiles = names.map((name) => tile(metric(name), numbers[name]));
  const more = tiles.splice(Math.max(ORDER.filter((name) => name in numbers).length, 4));
  return [
    h("dl", { class: "headline" }, tiles),
    more.length
      ? h(
          "details",
          {},
          h("summary", {}, `${more.length} more numbers`),
          h("dl", { class: "headline" }, more),
        )
      : null,
  ];
}

function tile(kind, estimate) {
  return h(
    "div",
    {},
    h("dt", {}, kind.title),
    h(
      "dd",
      { class: "big" },
      number(estimate.value, kind),
      kind.plain || estimate.value === null ? null : h("small", {}, " %"),
    ),
    h("dd", {}, intervalBar(estimate, kind.plain ? [0, 2] : [0, 1])),
    h(
      "dd",
      { class: "soft" },
      [interval(estimate, kind), basis(kind.name, estimate.n)].filter(Boolean).join(" · "),
    ),
    h("dd", { class: "meaning soft" }, kind.meaning),
  );
}

function jumps(sections) {
  return h(
    "nav",
    { class: "jumps", "aria-label": "Sections" },
    sections.map(([name, title]) =>
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            const section = document.getElementById(name);
            section.scrollIntoView();
            section.querySelector("h2").setAttribute("tabindex", "-1");
            section.querySelector("h2").focus({ preventScroll: true });
          },
        },
        title,
      ),
    ),
  );
}

function curves(list) {
  return h(
    "section",
    { id: "curves" },
    h("h2", {}, "Curves"),
    h("div", { class: "curves" }, list.map(curvePlot)),
  );
}

function provenance(facts) {
  return h("section", { id: "provenance" }, h("h2", {}, "Where it comes from"), factList(facts));
}

function factList(facts) {
  return h(
    "dl",
    { class: "facts" },
    Object.entries(facts).map(([name, value]) => [
      h("dt", {}, name.replaceAll("_", " ")),
      h(
        "dd",
        {},
        value !== null && typeof value === "object" && !Array.isArray(value)
          ? factList(value)
          : plainly(value),
      ),
    ]),
  );
}

function plainly(value) {
  if (value === null) return "–";
  return Array.isArray(value) ? value.map(plainly).join(", ") || "–" : String(value);
}

async function pickRival(run, signal) {
  const runs = (await all("/runs", { dataset: run.dataset }, signal)).filter((one) => one.id !== run.id);
  const list = h(
    "ul",
    { class: "rivals" },
    runs.map((one) =>
      h(
        "li",
        {},
        h("a", { href: `#/compare/${run.id}/${one.id}` }, one.name),
        h("small", { class: "soft" }, ` ${one.owner} · ${when(one.created)}`),
      ),
    ),
  );
  const dialog = openDialog(
    "Compare with",
    runs.length ? list : h("p", {}, "There is no other run on this dataset yet."),
  );
  list.addEventListener("click", (event) => {
    if (event.target.matches("a")) dialog.close();
  });
}

function confirmRemoval(run) {
  const wrong = h("p", { class: "wrong", role: "alert" });
  const remove = h("button", { type: "button", class: "danger" }, "Delete the run");
  const dialog = openDialog(
    "Delete",
    h("p", {}, `“${run.name}” and its numbers and pictures will be gone for everybody.`),
    wrong,
    remove,
  );
  remove.addEventListener("click", async () => {
    try {
      await asWriter(() => ask(address(`/runs/${run.id}`), { method: "DELETE" }));
      dialog.close();
      location.hash = `#/datasets/${encodeURIComponent(run.dataset)}`;
    } catch (problem) {
      if (problem.name !== "AbortError") wrong.textContent = problem.message;
    }
  });
}
