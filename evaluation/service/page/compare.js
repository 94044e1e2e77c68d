// Two runs on the same pictures: what differs beyond chance, and on which pictures.

import { address, ask } from "./api.js";
import { intervalBar, rangeOf } from "./charts.js";
import { h, term } from "./dom.js";
import { rowKeys, shortcuts } from "./keys.js";
import { excludesZero, interval, metric } from "./metrics.js";
import { number, when } from "./numbers.js";
import { pairsSection } from "./pairs.js";
import { wide } from "./tables.js";

const TASKS = { samples: "Ship or stop", maps: "Anomaly maps", boxes: "Boxes", classes: "Classes" };
const PARTS = { samples: "area and elongation", maps: "category", boxes: "class and size", classes: "class" };
const WHOLE = ["all", "mean"];

export async function compareView(context) {
  const {
    parts: [first, second],
    signal,
    show,
  } = context;
  const result = await ask(address("/compare", { first, second }), { signal });
  const pairs = result.pictures ? pairsSection(context, result) : null;
  show(
    `${result.first.name} or ${result.second.name}`,
    h(
      "p",
      { class: "crumbs" },
      h("a", { href: `#/datasets/${encodeURIComponent(result.first.dataset)}` }, result.first.dataset),
    ),
    h("h1", { class: "unseen" }, "Compare"),
    h(
      "div",
      { class: "versus" },
      side("A", result.first),
      h("a", { class: "swap", href: `#/compare/${second}/${first}`, "aria-label": "Swap A and B" }, "⇄"),
      side("B", result.second),
    ),
    h(
      "p",
      { class: "soft" },
      "Differences are A minus B over the same pictures, with 95 % intervals. Where an interval holds 0, neither is shown to be better.",
    ),
    Object.entries(result.differences).map(([task, rows]) => taskSection(task, rows)),
    pairs?.element,
  );
  pairs?.load();
  shortcuts(
    [
      ...(pairs ? rowKeys(pairs.element, ".pair", "pair of pictures") : []),
      { on: ["x"], shown: "x", does: "Swap A and B", run: () => document.querySelector(".swap")?.click() },
    ],
    signal,
  );
}

function side(letter, run) {
  return h(
    "div",
    { class: `side side-${letter.toLowerCase()}` },
    h("span", { class: "letter", "aria-hidden": "true" }, letter),
    h(
      "div",
      {},
      h("a", { href: `#/runs/${run.id}` }, run.name),
      h("small", { class: "soft" }, `${run.owner} · ${when(run.created)}`),
    ),
  );
}

function taskSection(task, rows) {
  const names = Object.keys(rows);
  const whole = names.find((name) => WHOLE.includes(name)) ?? names[0];
  const others = names.filter((name) => name !== whole);
  return h(
    "section",
    {},
    h("h2", {}, TASKS[task] ?? task),
    overallTable(rows[whole]),
    others.length
      ? h(
          "details",
          {},
          h("summary", {}, `By ${PARTS[task] ?? "part"} (${others.length})`),
          sliceTable(others, rows),
        )
      : null,
  );
}

/** Who a difference speaks for: "a", "b", or "" where it may be chance. */
function winner(estimate, { lower }) {
  if (!excludesZero(estimate)) return "";
  return estimate.value > 0 !== lower ? "a" : "b";
}

function overallTable(row) {
  const kinds = Object.keys(row)
    .filter((name) => row[name].value !== null)
    .map(metric);
  // Zero stands in the middle, so that sides can be told at a glance.
  const bounds = rangeOf(
    kinds.filter((kind) => !kind.plain).map((kind) => row[kind.name]),
    [0],
  );
  const reach = Math.max(...bounds.map(Math.abs));
  return h(
    "table",
    { class: "differences" },
    h(
      "thead",
      { class: "unseen" },
      h(
        "tr",
        {},
        ["Metric", "Drawn", "A minus B", "Better"].map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    h(
      "tbody",
      {},
      kinds.map((kind) => {
        const estimate = row[kind.name];
        const better = winner(estimate, kind);
        const options = { plain: kind.plain, signed: true };
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, term(kind.title, kind.meaning)),
          h(
            "td",
            { class: "drawn" },
            intervalBar(estimate, kind.plain ? rangeOf([estimate], [0]) : [-reach, reach], {
              mark: 0,
              kind: better && `for-${better}`,
            }),
          ),
          h(
            "td",
            { class: "value" },
            h("b", {}, number(estimate.value, options)),
            h("small", { class: "soft" }, interval(estimate, options)),
          ),
          h(
            "td",
            { class: "better" },
            better
              ? h("span", { class: `tag for-${better}` }, `${better.toUpperCase()} better`)
              : h("span", { class: "soft" }, "unclear"),
          ),
        );
      }),
    ),
  );
}

function sliceTable(names, rows) {
  const kinds = Object.keys(Object.assign({}, ...names.map((name) => rows[name])))
    .filter((key) => names.some((name) => (rows[name][key]?.value ?? null) !== null))
    .map(metric);
  return wide(
    h(
      "table",
      { class: "numbers" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td"),
          kinds.map((kind) => h("th", { scope: "col" }, term(kind.title, kind.meaning))),
        ),
      ),
      h(
        "tbody",
        {},
        names.map((name) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, name.replace(/^(class|size):/, "$1 ")),
            kinds.map((kind) => {
              const estimate = rows[name][kind.name];
              if (!estimate) return h("td", {}, "–");
              const options = { plain: kind.plain, signed: true };
              const better = winner(estimate, kind);
              return h(
                "td",
                { class: better && `for-${better}` },
                number(estimate.value, options),
                h("small", { class: "soft" }, interval(estimate, options)),
              );
            }),
          ),
        ),
      ),
    ),
    "Differences by slice and class",
  );
}
