// The numbers of a run as tables, one section per task.

import { confusionTable, intervalBar, rangeOf, shareBar } from "./charts.js";
import { h, term } from "./dom.js";
import { interval, metric, metricsOf } from "./metrics.js";
import { count, number } from "./numbers.js";

const SHOWN = {
  samples: [
    "seg_miou",
    "seg_recall",
    "seg_recall_50",
    "seg_recall_area",
    "sample_f1",
    "escape_rate",
    "overkill_rate",
  ],
};
const GROUPS = {
  area: "By area of the true defect, in pixels",
  elongation: "By elongation of the true defect, length over width",
};

/** Sections of the tasks that the evaluation holds: [name, title, element]. */
export function taskSections(evaluation) {
  const makers = {
    samples: [samplesSection, "Ship or stop"],
    maps: [mapsSection, "Anomaly maps"],
    boxes: [boxesSection, "Boxes"],
    classes: [classesSection, "Classes"],
  };
  return Object.entries(makers)
    .filter(([task]) => evaluation[task])
    .map(([task, [make, title]]) => [
      task,
      title,
      h("section", { id: task }, h("h2", {}, title), make(evaluation[task])),
    ]);
}

function samplesSection({ overall, slices }) {
  const groups = Map.groupBy(
    slices.filter((row) => row.n_pictures),
    (row) => row.name.split(" ")[0],
  );
  return [
    decisions(overall),
    [...groups].map(([key, rows]) => [
      h("h3", {}, GROUPS[key] ?? `By ${key}`),
      metricTable(rows, SHOWN.samples, (row) => row.name.slice(key.length + 1), "n_defective", "Defects"),
    ]),
    everything(overall),
  ];
}

/** What the decisions would have done on the line, counted. */
function decisions(row) {
  const good = row.n_pictures - row.n_defective;
  const side = (title, total, parts) =>
    h(
      "div",
      { class: "side" },
      h("h3", {}, title, " ", h("span", { class: "soft" }, count(total))),
      shareBar(parts),
      h(
        "ul",
        {},
        parts.map((part) =>
          h(
            "li",
            {},
            h("span", { class: `swatch ${part.kind}` }),
            h("b", {}, count(part.value)),
            " ",
            part.name,
          ),
        ),
      ),
    );
  const bound = (value) => (value === null ? null : `at most ${number(value)} % at 95 % confidence`);
  return h(
    "div",
    { class: "decisions" },
    h(
      "div",
      {},
      side("Defective parts", row.n_defective, [
        { name: "stopped", value: row.n_caught, kind: "caught" },
        { name: "shipped: escapes", value: row.n_escaped, kind: "escape" },
      ]),
      h(
        "p",
        { class: "soft" },
        `Escape rate ${number(row.escape_rate.value)} %`,
        bound(row.escape_bound) && `, ${bound(row.escape_bound)}`,
      ),
    ),
    h(
      "div",
      {},
      side("Good parts", good, [
        { name: "shipped", value: row.n_passed, kind: "passed" },
        { name: "stopped: false alarms", value: row.n_false_alarms, kind: "overkill" },
      ]),
      h(
        "p",
        { class: "soft" },
        `Over-kill rate ${number(row.overkill_rate.value)} %`,
        bound(row.overkill_bound) && `, ${bound(row.overkill_bound)}`,
      ),
    ),
  );
}

function mapsSection({ categories, mean }) {
  const rows = categories.length > 1 ? [...categories, mean] : categories;
  return metricTable(
    rows,
    metricsOf(mean),
    (row) => (row === mean ? "Mean" : row.category),
    "n_pictures",
    "Pictures",
  );
}

function boxesSection({ all, classes, sizes, n_dropped: dropped }) {
  const tail = (row) => row.name.slice(row.name.indexOf(":") + 1);
  return [
    metricTable([all], metricsOf(all), () => "All boxes", "n_truth", "True boxes"),
    classes.length > 1
      ? [h("h3", {}, "By class"), metricTable(classes, metricsOf(all), tail, "n_truth", "True boxes")]
      : null,
    h("h3", {}, "By size of the true box (COCO: small under 32 × 32, large from 96 × 96 pixels)"),
    metricTable(sizes, metricsOf(all), tail, "n_truth", "True boxes"),
    dropped
      ? h(
          "p",
          { class: "soft" },
          `${count(dropped)} boxes beyond the 100 surest of their picture and class were not judged.`,
        )
      : null,
  ];
}

function classesSection({ overall, classes, confusion }) {
  return [
    metricTable([overall], metricsOf(overall), () => "All classes", "n_pictures", "Pictures"),
    h("h3", {}, "By class"),
    metricTable(classes, ["f1", "precision", "recall"], (row) => row.name, "n_true", "Pictures"),
    h("h3", {}, "Which class was taken for which"),
    h("p", { class: "soft" }, "A row is a true class; the darker a cell, the larger its share of the row."),
    wide(
      confusionTable(
        classes.map((row) => row.name),
        confusion,
      ),
      "Confusion of classes",
    ),
  ];
}

/** Rows by metrics; the first metric's intervals are drawn as well. Columns without a value are left out. */
export function metricTable(rows, names, nameOf, sizeKey, sizeTitle) {
  const columns = names
    .filter((name) => rows.some((row) => row[name] && row[name].value !== null))
    .map(metric);
  const drawn = rows.length > 1 && columns.length ? columns[0] : null;
  const range = drawn && rangeOf(rows.map((row) => row[drawn.name]));
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
          h("th", { scope: "col" }, sizeTitle),
          columns.map((column) => [
            h("th", { scope: "col" }, term(column.title, column.meaning)),
            column === drawn ? h("td") : null,
          ]),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, nameOf(row)),
            h("td", { class: "soft" }, count(row[sizeKey])),
            columns.map((column) => [
              cell(row[column.name], column),
              column === drawn ? h("td", { class: "drawn" }, intervalBar(row[column.name], range)) : null,
            ]),
          ),
        ),
      ),
    ),
    "Numbers",
  );
}

function cell(estimate, { plain }) {
  const options = { plain };
  return h(
    "td",
    {},
    number(estimate.value, options),
    h("small", { class: "soft" }, interval(estimate, options)),
  );
}

/** Every number of a row with its meaning, folded away. */
function everything(row) {
  const known = metricsOf(row)
    .filter((name) => row[name].value !== null)
    .map(metric);
  return h(
    "details",
    {},
    h("summary", {}, "All numbers, and what they mean"),
    h(
      "dl",
      { class: "meanings" },
      known.map((one) =>
        h(
          "div",
          {},
          h(
            "dt",
            {},
            one.title,
            " ",
            h("b", {}, number(row[one.name].value, one)),
            " ",
            h("span", { class: "soft" }, interval(row[one.name], one)),
          ),
          h("dd", { class: "soft" }, one.meaning),
        ),
      ),
    ),
  );
}

/** A table that may scroll sideways in its own frame, by keyboard too. */
export function wide(table, label) {
  return h("div", { class: "wide", tabindex: 0, role: "group", "aria-label": label }, table);
}
