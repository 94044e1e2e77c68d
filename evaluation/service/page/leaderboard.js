// The data sets, and who leads on each: values with intervals, and how sure the lead is.

import { address, all, ask } from "./api.js";
import { intervalBar, rangeOf } from "./charts.js";
import { h, term } from "./dom.js";
import { rowKeys, shortcuts } from "./keys.js";
import { excludesZero, interval, metric } from "./metrics.js";
import { count, number, when } from "./numbers.js";
import { may } from "./session.js";

const TASKS = { samples: "ship or stop", masks: "masks", maps: "maps", boxes: "boxes", classes: "classes" };
const SHOWN_LEADERS = 20;
const BATCH = 100;

export async function datasetsView({ signal, show }) {
  const datasets = await all("/datasets", {}, signal);
  const list = h("ul", { class: "datasets" }, datasets.map(datasetCard));
  show(
    "Datasets",
    h("h1", {}, "Datasets"),
    datasets.length
      ? list
      : h("p", { class: "empty" }, "No dataset is registered yet. The service's operator adds them."),
  );
  shortcuts(rowKeys(list, "a", "dataset"), signal);
  for (const [index, dataset] of datasets.slice(0, SHOWN_LEADERS).entries()) {
    if (dataset.n_runs) await showLeader(dataset, list.children[index].querySelector(".leader"), signal);
  }
}

function datasetCard(dataset) {
  return h(
    "li",
    { "data-row": true },
    h(
      "a",
      { href: `#/datasets/${encodeURIComponent(dataset.id)}` },
      h("strong", {}, dataset.title || dataset.id),
      h("span", { class: "soft" }, facts(dataset)),
      h("span", { class: "leader soft" }, dataset.n_runs ? "\u00a0" : "No run yet"),
    ),
  );
}

function facts(dataset) {
  const tasks = dataset.tasks.map((task) => TASKS[task] ?? task).join(", ");
  return [
    dataset.id,
    dataset.split,
    `${count(dataset.n_pictures)} pictures`,
    tasks,
    `${dataset.n_runs} ${dataset.n_runs === 1 ? "run" : "runs"}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

async function showLeader(dataset, place, signal) {
  const board = await ask(address("/leaderboard", { dataset: dataset.id }), { signal });
  const [leader] = board.rows;
  if (!leader) return;
  const { title } = metric(board.metric);
  place.replaceChildren(
    h("b", {}, leader.run.name),
    ` leads with ${title} ${number(leader.estimate.value, metric(board.metric))}`,
  );
}

export async function leaderboardView(context) {
  const {
    parts: [id],
    query,
    signal,
    show,
  } = context;
  const dataset = await ask(`/datasets/${encodeURIComponent(id)}`, { signal });
  const first = await load(id, query.get("metric"), signal);
  const picked = new Map();
  const body = h("div");
  const title = dataset.title || dataset.id;
  const choice = h(
    "select",
    { id: "metric" },
    first.metrics.map((one) =>
      h(
        "option",
        { value: one.name, selected: one.name === first.metric },
        one.title || metric(one.name).title,
      ),
    ),
  );
  const fill = (board) => body.replaceChildren(...boardOf(board, dataset, picked));
  choice.addEventListener("change", async () => {
    context.note({ metric: choice.value });
    body.setAttribute("aria-busy", "true");
    fill(await load(id, choice.value, signal));
    body.removeAttribute("aria-busy");
  });
  fill(first);
  show(
    title,
    h("h1", {}, title),
    h("p", { class: "soft" }, facts(dataset)),
    dataset.truth_visible
      ? null
      : h(
          "p",
          { class: "soft" },
          "The labels of single pictures stay on the server: you see numbers over all pictures.",
        ),
    first.rows.length
      ? h("div", { class: "controls" }, h("label", { for: "metric" }, "Ranked by"), choice)
      : null,
    body,
  );
  const compare = () => body.querySelector(".tray a[href]")?.click();
  shortcuts(
    [
      ...rowKeys(body, "a.name", "run"),
      {
        on: ["x"],
        shown: "x",
        does: "Pick the run for comparison",
        run: () => document.activeElement.closest("[data-row]")?.querySelector("input")?.click(),
      },
      { on: ["c"], shown: "c", does: "Compare the two picked runs", run: compare },
    ],
    signal,
  );
}

const load = (dataset, name, signal) => ask(address("/leaderboard", { dataset, metric: name }), { signal });

function boardOf(board, dataset, picked) {
  const submit = `#/submit?dataset=${encodeURIComponent(dataset.id)}`;
  if (!board.rows.length) {
    return [
      h(
        "p",
        { class: "empty" },
        "No run yet. ",
        may("submit") ? h("a", { href: submit }, "Submit the first.") : null,
      ),
    ];
  }
  const kind = { ...metric(board.metric), ...board.metrics.find((one) => one.name === board.metric) };
  const options = { plain: kind.plain };
  const range = rangeOf(board.rows.map((row) => row.estimate));
  const tray = h("div", { class: "tray", "aria-live": "polite" });
  const rows = board.rows.map((row) => boardRow(row, { range, options, lead: board.rows[0], picked, tray }));
  const table = h(
    "table",
    { class: "board" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col", class: "pick" }, h("span", { class: "unseen" }, "Compare")),
        h("th", { scope: "col" }, "Rank"),
        h("th", { scope: "col" }, "Run"),
        h("th", { scope: "col", class: "drawn" }, "95 % interval"),
        h("th", { scope: "col" }, kind.title, options.plain ? null : h("small", {}, " %")),
        h(
          "th",
          { scope: "col" },
          term(
            "Behind the first",
            "Paired difference over the same pictures, with its 95 % interval. Where the interval holds 0, the two may be equal.",
          ),
        ),
      ),
    ),
    h("tbody", {}, rows.slice(0, BATCH)),
  );
  const rest = rows.slice(BATCH);
  const more = rest.length ? h("button", { type: "button" }, `Show ${rest.length} more`) : null;
  more?.addEventListener("click", () => {
    table.tBodies[0].append(...rest);
    more.remove();
  });
  showTray(tray, picked);
  return [
    h(
      "p",
      { class: "soft" },
      kind.meaning,
      " ",
      kind.higher_is_better === false ? "Smaller is better." : "Larger is better.",
    ),
    table,
    more,
    tray,
  ].filter(Boolean);
}

function boardRow({ rank, run, estimate, behind }, { range, options, lead, picked, tray }) {
  const pick = h("input", {
    type: "checkbox",
    "aria-label": `Compare ${run.name}`,
    checked: picked.has(run.id),
  });
  const row = h(
    "tr",
    { "data-row": true, class: picked.has(run.id) ? "picked" : null },
    h("td", { class: "pick" }, h("label", {}, pick)),
    h("td", { class: "rank" }, rank),
    h(
      "td",
      { class: "who" },
      h("a", { class: "name", href: `#/runs/${run.id}` }, run.name),
      h("small", { class: "soft" }, `${run.owner} · ${when(run.created)}`),
    ),
    h(
      "td",
      { class: "drawn" },
      intervalBar(estimate, range, { mark: lead.estimate.value, kind: rank === 1 ? "leads" : "" }),
    ),
    h(
      "td",
      { class: "value" },
      h("b", {}, number(estimate.value, options)),
      h("small", { class: "soft" }, interval(estimate, options)),
    ),
    h(
      "td",
      { class: "behind" },
      run.id === lead.run.id ? h("span", { class: "soft" }, "leads") : behindOf(behind, options),
    ),
  );
  pick.addEventListener("change", () => {
    if (pick.checked) picked.set(run.id, run.name);
    else picked.delete(run.id);
    row.classList.toggle("picked", pick.checked);
    showTray(tray, picked);
  });
  return row;
}

function behindOf(behind, options) {
  if (!behind) return h("span", { class: "soft" }, "not paired");
  const sure = excludesZero(behind);
  const text = interval(behind, { ...options, signed: true });
  return [
    h(
      "span",
      {},
      number(behind.value, { ...options, signed: true }),
      " ",
      h("span", { class: sure ? "tag sure" : "tag open" }, sure ? "clear" : "may be equal"),
    ),
    h("small", { class: "soft" }, text),
  ];
}

function showTray(tray, picked) {
  const [first, second, ...more] = picked.keys();
  tray.hidden = !first;
  if (!first) return;
  const names = [...picked.values()].join("  ·  ");
  const advice = more.length ? "Pick two at most" : second ? null : "Pick one more";
  tray.replaceChildren(
    h("span", { class: "names" }, names),
    advice
      ? h("span", { class: "soft" }, advice)
      : h("a", { class: "primary", href: `#/compare/${first}/${second}` }, "Compare"),
  );
}
