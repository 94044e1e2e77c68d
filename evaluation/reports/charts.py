"""Geometry of the inline SVG charts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from millsight.evaluation.metrics import Estimate
from millsight.evaluation.metrics.aupro import FPR_LIMIT
from millsight.evaluation.reports.blocks import Bar, Bars, Chart, Line, Tick
from millsight.evaluation.reports.wording import Wording
from millsight.evaluation.results.curves import Curve, Points

WIDTH, HEIGHT = 320, 240
BAR_WIDTH = 200
MAX_LINES = 8
DOTS_UP_TO = 24


def draw_curve(curve: Curve, lines: Mapping[str, Points]) -> Iterator[Chart]:
    """Draw lines of a curve's kind, at most eight to a chart."""
    named = list(lines.items())
    charts = math.ceil(len(named) / MAX_LINES)
    for at in range(charts):
        title = curve.title if charts == 1 else f"{curve.title} ({at + 1} of {charts})"
        start, stop = (round(len(named) * edge / charts) for edge in (at, at + 1))
        yield _chart(curve, title, named[start:stop])


def _chart(curve: Curve, title: str, lines: Sequence[tuple[str, Points]]) -> Chart:
    """Both axes start at 0 and end at 1; the x axis of region overlap at AUPRO's limit."""
    end = FPR_LIMIT if curve.name == "pro" else 1.0
    steps = [0.0, 0.1, 0.2, 0.3] if curve.name == "pro" else [0.0, 0.25, 0.5, 0.75, 1.0]
    compared = curve.name in ("roc", "reliability")
    return Chart(
        title=title,
        x_label=curve.x_label,
        y_label=curve.y_label,
        lines=[_line(name, points, end) for name, points in lines],
        x_ticks=[Tick(WIDTH * step / end, f"{step:g}") for step in steps],
        y_ticks=[Tick(HEIGHT * (1 - step), f"{step:g}") for step in (0.0, 0.25, 0.5, 0.75, 1.0)],
        diagonal=f"M0,{HEIGHT} L{WIDTH},0" if compared else "",
    )


def draw_bars(title: str, numbers: Sequence[tuple[str, Estimate]], wording: Wording) -> Bars:
    """Draw shares with their intervals; undefined ones are left out."""
    known = [(name, number) for name, number in numbers if not math.isnan(number.value)]
    return Bars(title, [_bar(name, number, wording) for name, number in known])


def _bar(name: str, number: Estimate, wording: Wording) -> Bar:
    drawn = not math.isnan(number.low)
    return Bar(
        name=name,
        text=wording.text(number.value),
        small=f"{wording.interval(number)}, {number.n} pictures".removeprefix(", "),
        x=round(BAR_WIDTH * number.value, 2),
        low=round(BAR_WIDTH * number.low, 2) if drawn else None,
        high=round(BAR_WIDTH * number.high, 2) if drawn else None,
    )


def _line(name: str, points: Points, end: float) -> Line:
    placed = [
        (round(WIDTH * x / end, 1), round(HEIGHT * (1 - y), 1))
        for x, y in zip(*points, strict=True)
    ]
    path = "M" + " ".join(f"{x:g},{y:g}" for x, y in placed)
    return Line(name, path, placed if len(placed) <= DOTS_UP_TO else ())
