"""The gradient each task sends into the encoder, by the area of the defect, as one SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pyarrow as pa

from millsight.pretraining.downstream.multitask.gradients import BINS, area_bin

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 190, 34, 40
LABELS = ("good", "to 0.1 %", "to 1 %", "to 10 %", "over 10 %")
LINES = (
    ("pixel", "pixel", "pixels' loss, pixel alone"),
    ("joint", "pixel", "pixels' loss, joint"),
    ("gated", "pixel", "pixels' loss, gated"),
    ("joint", "sample", "sample's loss, joint"),
    ("gated", "sample", "sample's loss, gated"),
)
TEMPLATE = Path(__file__).with_name("gradient_figure.svg.j2")


@dataclass(frozen=True, slots=True)
class Mark:
    """One mean, in units of the figure: its place and the range over seeds."""

    x: float
    y: float
    low: float
    high: float
    hint: str


def bin_means(table: pa.Table, mode: str, task: str) -> dict[str, list[float]]:
    """Average the gradient's norm over pictures and epochs, per bin of area and seed.

    Args:
        table: Rows of ``gradients.parquet`` with ``mode`` and ``seed``.
        mode: ``pixel``, ``joint`` or ``gated``.
        task: ``pixel`` or ``sample``, whose loss.

    Returns:
        For every bin that has pictures one mean per seed.
    """
    found: dict[tuple[str, int], list[float]] = {}
    for row in table.to_pylist():
        if row["mode"] == mode:
            found.setdefault((area_bin(row["area"]), row["seed"]), []).append(row[task])
    return {
        name: [float(np.mean(norms)) for (own, _), norms in sorted(found.items()) if own == name]
        for name in BINS
        if any(own == name for own, _ in found)
    }


def draw(panels: Mapping[str, pa.Table]) -> str:
    """Return an SVG with one panel per dataset: norms on a logarithmic axis over bins of area."""
    drawn = []
    for number, (name, table) in enumerate(panels.items()):
        means = {label: bin_means(table, mode, task) for mode, task, label in LINES}
        drawn.append(_panel(name, {k: v for k, v in means.items() if v}, number * HEIGHT))
    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8"))
    ticks = [(LEFT + _x(i), label) for i, label in enumerate(LABELS)]
    return template.render(
        panels=drawn,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
        ticks=ticks,
    )


def _panel(
    name: str, lines: Mapping[str, Mapping[str, list[float]]], offset: int
) -> dict[str, object]:
    norms = [norm for line in lines.values() for seeds in line.values() for norm in seeds]
    known = [math.log10(norm) for norm in norms if norm > 0] or [0.0]
    low, high = math.floor(min(known)), math.ceil(max(known) + 1e-9)
    span = max(high - low, 1)

    def y(norm: float) -> float:
        share = (math.log10(max(norm, 10.0**low)) - low) / span
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    series = [
        {"label": label, "marks": [_mark(b, seeds, y, label) for b, seeds in line.items()]}
        for label, line in lines.items()
    ]
    decades = [(y(10.0**power), f"1e{power}") for power in range(low, low + span + 1)]
    return {"name": name, "offset": offset, "series": series, "decades": decades}


def _mark(name: str, seeds: list[float], y: Callable[[float], float], label: str) -> Mark:
    mean = float(np.mean(seeds))
    hint = f"{label}, {LABELS[BINS.index(name)]}: {mean:.3g}, {min(seeds):.3g} to {max(seeds):.3g}"
    return Mark(LEFT + _x(BINS.index(name)), y(mean), y(min(seeds)), y(max(seeds)), hint)


def _x(index: int) -> float:
    return round((index + 0.5) * (WIDTH - LEFT - RIGHT) / len(BINS), 1)
