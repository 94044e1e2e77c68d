// Drawn numbers: intervals, curves, shares and the confusion of classes. All inline SVG and CSSOM.

import { h, s } from "./dom.js";
import { count, number } from "./numbers.js";

const WIDTH = 400;
const HEIGHT = 290;
const FRAME = { left: 54, right: 10, top: 10, bottom: 40 };

/** Smallest range that holds all estimates and `always`, a little widened. */
export function rangeOf(estimates, always = []) {
  const ends = estimates.flatMap((e) => [e.value, e.low, e.high]).filter((v) => v !== null);
  const low = Math.min(...ends, ...always);
  const high = Math.max(...ends, ...always);
  const margin = 0.04 * (high - low) || 0.01;
  return [low - margin, high + margin];
}

/** An estimate as a tick on its interval; `mark` is a reference line. Beside it stand the numbers. */
export function intervalBar(estimate, [low, high], { mark = null, kind = "" } = {}) {
  const at = (value) => `${(100 * Math.max(0, Math.min(1, (value - low) / (high - low)))).toFixed(2)}%`;
  const bar = s(
    "svg",
    { class: `interval ${kind}`, "aria-hidden": "true", width: "100%", height: 18 },
    s("line", { class: "rail", x1: 0, x2: "100%", y1: 9, y2: 9 }),
    mark === null ? null : s("line", { class: "mark", x1: at(mark), x2: at(mark), y1: 0, y2: 18 }),
  );
  if (estimate.value === null) return bar;
  if (estimate.low !== null) {
    bar.append(s("line", { class: "spread", x1: at(estimate.low), x2: at(estimate.high), y1: 9, y2: 9 }));
  }
  bar.append(s("line", { class: "point", x1: at(estimate.value), x2: at(estimate.value), y1: 3, y2: 15 }));
  return bar;
}

/** A curve with axes, a legend, and a read-out under the pointer. */
export function curvePlot(curve) {
  const series = Object.entries(curve.series).map(([name, { x, y }]) => ({ name, x, y }));
  const place = placer(series);
  const readout = h("output", { class: "readout" });
  const plot = s(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: "img",
      "aria-label": `${curve.title}: ${curve.y_label} over ${curve.x_label}`,
    },
    axes(place, curve),
    ["roc", "reliability"].includes(curve.name) ? s("line", { class: "chance", ...ends(place) }) : null,
    series.map((one, index) => line(one, index, place, curve.name)),
  );
  const dot = s("circle", { class: "cursor", r: 4, visibility: "hidden" });
  plot.append(dot);
  plot.addEventListener("pointermove", (event) => {
    const near = nearest(plot, event, series, place);
    dot.setAttribute("cx", place.x(near.x));
    dot.setAttribute("cy", place.y(near.y));
    dot.setAttribute("visibility", "visible");
    readout.textContent = `${series.length > 1 ? `${near.name}: ` : ""}${near.x.toFixed(3)} / ${near.y.toFixed(3)}`;
  });
  plot.addEventListener("pointerleave", () => {
    dot.setAttribute("visibility", "hidden");
    readout.textContent = "";
  });
  return h(
    "figure",
    { class: "curve" },
    h("figcaption", {}, h("h3", {}, curve.title), readout),
    plot,
    series.length > 1
      ? h(
          "ul",
          { class: "legend" },
          series.map(({ name }, index) =>
            h("li", {}, h("span", { class: `swatch series-${index % 6}` }), name),
          ),
        )
      : null,
  );
}

function placer(series) {
  const bounds = (values) => {
    const low = Math.min(0, ...values);
    const high = Math.max(1, ...values);
    return [low, high];
  };
  const [x0, x1] = bounds(series.flatMap((one) => one.x));
  const [y0, y1] = bounds(series.flatMap((one) => one.y));
  return {
    bounds: [x0, x1, y0, y1],
    x: (value) => FRAME.left + ((value - x0) / (x1 - x0)) * (WIDTH - FRAME.left - FRAME.right),
    y: (value) => HEIGHT - FRAME.bottom - ((value - y0) / (y1 - y0)) * (HEIGHT - FRAME.top - FRAME.bottom),
  };
}

function axes(place, curve) {
  const [x0, x1, y0, y1] = place.bounds;
  const steps = [0, 0.25, 0.5, 0.75, 1];
  return [
    steps.map((step) => {
      const [x, y] = [x0 + step * (x1 - x0), y0 + step * (y1 - y0)];
      return [
        s("line", { class: "guide", x1: place.x(x), x2: place.x(x), y1: place.y(y0), y2: place.y(y1) }),
        s("line", { class: "guide", x1: place.x(x0), x2: place.x(x1), y1: place.y(y), y2: place.y(y) }),
        s("text", { x: place.x(x), y: HEIGHT - FRAME.bottom + 16, "text-anchor": "middle" }, tick(x)),
        s("text", { x: FRAME.left - 6, y: place.y(y) + 4, "text-anchor": "end" }, tick(y)),
      ];
    }),
    s(
      "text",
      { class: "axis", x: (FRAME.left + WIDTH - FRAME.right) / 2, y: HEIGHT - 5, "text-anchor": "middle" },
      capital(curve.x_label),
    ),
    s(
      "text",
      {
        class: "axis",
        transform: `translate(12 ${(HEIGHT - FRAME.bottom) / 2}) rotate(-90)`,
        "text-anchor": "middle",
      },
      capital(curve.y_label),
    ),
  ];
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const tick = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(2));

function ends({ bounds: [x0, x1, y0, y1], x, y }) {
  return { x1: x(x0), y1: y(y0), x2: x(x1), y2: y(y1) };
}

function line({ x, y }, index, place, kind) {
  const points = x
    .map((value, i) => [value, y[i]])
    .filter(([, value]) => value !== null)
    .map(([a, b]) => `${place.x(a).toFixed(1)},${place.y(b).toFixed(1)}`);
  const path = s("polyline", { class: `series series-${index % 6}`, points: points.join(" ") });
  if (kind !== "reliability") return path;
  return [
    path,
    points.map((point) => {
      const [cx, cy] = point.split(",");
      return s("circle", { class: `point series-${index % 6}`, cx, cy, r: 3.5 });
    }),
  ];
}

function nearest(plot, event, series, place) {
  const box = plot.getBoundingClientRect();
  const [px, py] = [
    ((event.clientX - box.left) / box.width) * WIDTH,
    ((event.clientY - box.top) / box.height) * HEIGHT,
  ];
  let best = null;
  for (const { name, x, y } of series) {
    for (let i = 0; i < x.length; i += 1) {
      if (y[i] === null) continue;
      const far = (place.x(x[i]) - px) ** 2 + (place.y(y[i]) - py) ** 2;
      if (!best || far < best.far) best = { far, name, x: x[i], y: y[i] };
    }
  }
  return best;
}

/** One bar split by shares; each part {name, value, kind}. */
export function shareBar(parts) {
  const total = parts.reduce((sum, part) => sum + part.value, 0) || 1;
  const bar = h("div", { class: "shares", "aria-hidden": "true" });
  for (const part of parts) {
    const piece = h("span", { class: part.kind, title: `${part.name}: ${count(part.value)}` });
    piece.style.flexGrow = part.value / total;
    bar.append(piece);
  }
  return bar;
}

/** The confusion of classes as a table whose cells darken with their share of the true class. */
export function confusionTable(names, counts) {
  const cell = (row, i, j) => {
    const total = row.reduce((sum, value) => sum + (value ?? 0), 0);
    const share = total ? (row[j] ?? 0) / total : 0;
    if (row[j] === null) return h("td", { title: "Withheld: too few pictures" }, "–");
    const made = h(
      "td",
      {
        class: i === j ? "right" : "mixed",
        title: `${names[i]} called ${names[j]}: ${count(row[j])} (${number(share)} %)`,
      },
      row[j] ? count(row[j]) : h("span", { class: "soft" }, "·"),
    );
    made.style.setProperty("--share", `${(100 * Math.sqrt(share)).toFixed(0)}%`);
    if (share > 0.36) made.classList.add("strong");
    return made;
  };
  return h(
    "table",
    { class: "confusion" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "true ↓ called →"),
        names.map((name) => h("th", { scope: "col" }, h("span", {}, name))),
      ),
    ),
    h(
      "tbody",
      {},
      counts.map((row, i) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, names[i]),
          row.map((_, j) => cell(row, i, j)),
        ),
      ),
    ),
  );
}
