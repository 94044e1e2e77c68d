"""Curves of tracked runs side by side as one SVG, for those who have no W&B to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from millsight.platform.errors import UserError
from millsight.platform.tracking.reader import RunRecord, read_runs

WIDTH, HEIGHT = 330, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 36, 40
# Wide enough for a label of this many letters.
LETTER = 7
TICKS = 4
# Marks across a line; more than pixels would only make the file large.
POINTS = 300
# The moving average's span, as a share of the steps.
SPAN = 0.05
TEMPLATE = Path(__file__).with_name("curves.svg.j2")

Line = pd.Series


def choose(directory: str | Path, wanted: Sequence[str]) -> dict[str, RunRecord]:
    """Find runs by what people call them.

    Args:
        directory: Where tracking wrote.
        wanted: ``LABEL=RUN`` or ``RUN``: the run's id, or the beginning of its fingerprint.

    Returns:
        By label.

    Raises:
        UserError: If there is no such run, or one name fits several.
    """
    runs = [run for run in read_runs(directory) if run.source == "jsonl" and run.history]
    if not wanted:
        raise UserError(f"--runs: name at least one of {_names(runs)}.")
    return {name.partition("=")[0]: _find(runs, name.rpartition("=")[2]) for name in wanted}


def _find(runs: Sequence[RunRecord], name: str) -> RunRecord:
    found = [
        run
        for run in runs
        if name and (run.id.startswith(name) or run.fingerprint.startswith(name))
    ]
    if len(found) != 1:
        trouble = "no run with a history" if not found else f"{len(found)} runs"
        raise UserError(f"--runs {name}: {trouble} of that name; there are {_names(runs)}.")
    return found[0]


def _names(runs: Sequence[RunRecord]) -> str:
    return ", ".join(sorted(run.id for run in runs)) or "none"


def draw(runs: Mapping[str, RunRecord], metrics: Sequence[str] = ()) -> str:
    """Draw one panel per metric with a line per run: its moving average, and faintly what it is of.

    Args:
        runs: By label.
        metrics: Names; by default all that two runs have in common, or all of a single run.

    Returns:
        SVG.

    Raises:
        UserError: If no run logged one of them.
    """
    lines = {
        label: {name: _line(run, name) for name in _logged(run)} for label, run in runs.items()
    }
    logged = [name for found in lines.values() for name in found]
    least = min(len(runs), 2)
    chosen = metrics or [name for name in dict.fromkeys(logged) if logged.count(name) >= least]
    for name in chosen:
        if name not in logged:
            raise UserError(
                f"--metrics {name}: these runs logged {', '.join(dict.fromkeys(logged))}."
            )
    panels = [_panel(name, [found.get(name) for found in lines.values()]) for name in chosen]
    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8"))
    return template.render(
        panels=panels,
        labels=list(runs),
        width=WIDTH,
        height=HEIGHT,
        legend=24 + LETTER * max(len(label) for label in runs),
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
    )


def _logged(run: RunRecord) -> list[str]:
    """Return the names of the numbers that changed from step to step."""
    values: dict[str, set[float]] = {}
    for row in run.history:
        for key, value in row.items():
            if _is_number(value):
                values.setdefault(key, set()).add(value)
    return [key for key, found in values.items() if key != "step" and len(found) > 1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _line(run: RunRecord, name: str) -> Line:
    points = {row["step"]: row[name] for row in run.history if _is_number(row.get(name))}
    return pd.Series(points, dtype=float)


def _panel(name: str, lines: Sequence[Line | None]) -> dict[str, Any]:
    known = pd.concat([line for line in lines if line is not None])
    # One wild step must not press all others flat.
    low, high = known.quantile(0.005), known.quantile(0.995)
    span = (high - low) or 1.0
    last = max(int(known.index.max()), 1)

    def y(value: float) -> float:
        share = float((min(max(value, low), high) - low) / span)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def path(line: Line) -> str:
        places = line.iloc[:: max(1, len(line) // POINTS)].items()
        return " ".join(
            f"{LEFT + int(str(step)) / last * (WIDTH - LEFT - RIGHT):.1f},{y(value)}"
            for step, value in places
        )

    return {
        "title": name,
        "last": last,
        "lines": [
            None
            if line is None
            else (path(line), path(_smooth(line)), f"{_smooth(line).iloc[-1]:.4g}")
            for line in lines
        ],
        "ticks": [
            (y(value), f"{value:.3g}")
            for value in (low + span * step / TICKS for step in range(TICKS + 1))
        ],
    }


def _smooth(line: Line) -> Line:
    return line.ewm(span=max(1.0, SPAN * len(line))).mean()
