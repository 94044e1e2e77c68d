"""Metrics over the number of labelled pictures, a line for each start or arm, as one SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

WIDTH, HEIGHT = 330, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 40, 44
LEGEND = 260
# How far apart the intervals of neighbouring lines stand, so that none covers another.
STEP = 6
TICK = 0.1
TEMPLATE = Path(__file__).with_name("label_figure.svg.j2")


@dataclass(frozen=True, slots=True)
class Mark:
    """One mean over seeds, in units of the figure: its place and its interval over pictures."""

    x: float
    y: float
    low: float
    high: float
    hint: str


def draw(
    contents: Sequence[Mapping[str, Any]], metrics: Mapping[str, str], shown: str = "pictures"
) -> str:
    """Return an SVG with a line of panels for each experiment, a panel for each metric.

    Args:
        contents: Each with ``data``, a name, and ``rows`` of ``comparison.compare_rows``.
        metrics: Headings by name.
        shown: What the numbers of labelled pictures count.
    """
    lines = []
    for content in contents:
        starts = [*dict.fromkeys(row["start"] for row in content["rows"])]
        panels = [_panel(content, metrics, metric, starts, shown) for metric in metrics]
        lines.append({"starts": starts, "panels": panels})
    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8"))
    return template.render(
        lines=lines,
        width=WIDTH,
        height=HEIGHT,
        across=len(metrics) * WIDTH,
        axis=f"labelled {shown}",
        legend=LEGEND,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
    )


def _panel(
    content: Mapping[str, Any],
    metrics: Mapping[str, str],
    metric: str,
    starts: Sequence[str],
    shown: str,
) -> dict[str, Any]:
    rows = [
        row for row in content["rows"] if row["minus"] is None and row[metric]["value"] is not None
    ]
    counts = sorted({row["labelled"] or math.inf for row in rows})
    ends = [row[metric]["high"] for row in rows]
    ticks = max(1, math.ceil(max(ends, default=TICK) / TICK - 1e-9))

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - value / (ticks * TICK) * (HEIGHT - TOP - BOTTOM), 1)

    def x(count: float) -> float:
        return round(LEFT + (counts.index(count) + 0.5) * (WIDTH - LEFT - RIGHT) / len(counts), 1)

    series: dict[str, list[Mark]] = {start: [] for start in starts}
    for row in sorted(rows, key=lambda row: row["labelled"] or math.inf):
        found, start = row[metric], row["start"]
        shift = STEP * (starts.index(start) - (len(starts) - 1) / 2)
        interval = f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
        series[start].append(
            Mark(
                x(row["labelled"] or math.inf) + shift,
                y(found["value"]),
                y(found["low"]),
                y(found["high"]),
                f"{start}, {row['labelled'] or 'all'} {shown}: {interval}",
            )
        )
    return {
        "title": f"{content['data']}: {metrics[metric]}",
        "series": list(series.values()),
        "counts": [(x(count), "all" if count == math.inf else f"{count}") for count in counts],
        "ticks": [(y(step * TICK), f"{step * TICK:.1f}") for step in range(ticks + 1)],
    }
