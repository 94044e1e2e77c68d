"""Score histograms of one category, as geometry for an inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, N_BARS = 480, 140, 32


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, in units of the plot (x right, y down)."""

    x: float
    y: float
    width: float
    height: float
    hint: str


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one kind of picture: ``"normal"``, ``"defective"`` or ``"unlabelled"``."""

    name: str
    count: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class ScorePlot:
    """Histograms over a shared axis; every series is scaled to its own highest bar.

    Attributes:
        category: Name of the category.
        series: Those that have pictures.
        low: Score at the left end.
        high: Score at the right end.
        threshold: Score of the highest F1, ``None`` where it is undefined.
        threshold_x: Where that is on the plot.
    """

    category: str
    series: tuple[Series, ...]
    low: float
    high: float
    threshold: float | None
    threshold_x: float


def plot_scores(
    category: str,
    scores: Sequence[float],
    labels: Sequence[bool | None],
    threshold: float | None,
) -> ScorePlot:
    """Bin the scores of one category (at least one) by what is known of the pictures."""
    values = np.asarray(scores, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    kinds = {"normal": False, "defective": True, "unlabelled": None}
    members = {name: [label is kind for label in labels] for name, kind in kinds.items()}
    series = tuple(
        _series(name, values[chosen], low, span) for name, chosen in members.items() if any(chosen)
    )
    x = 0.0 if threshold is None else (threshold - low) / span * WIDTH
    return ScorePlot(category, series, low, high, threshold, x)


def _series(name: str, values: np.ndarray, low: float, span: float) -> Series:
    counts, edges = np.histogram(values, bins=N_BARS, range=(low, low + span))
    tallest = counts.max()
    step = WIDTH / N_BARS
    bars = [
        Bar(
            x=round(i * step, 2),
            y=round(HEIGHT * (1 - count / tallest), 2),
            width=round(step - 1, 2),
            height=round(HEIGHT * count / tallest, 2),
            hint=f"{count} {name}, score {edges[i]:.4g} to {edges[i + 1]:.4g}",
        )
        for i, count in enumerate(counts.tolist())
        if count
    ]
    return Series(name, values.size, tuple(bars))
