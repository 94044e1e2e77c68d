"""What is measured of a category's anomaly maps; nothing here needs a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.anomaly_maps import AnomalyMap

BINS = 4096
FLAT_RANGE = 1e-3
TOP_SHARE = 0.01
FLOOR_SHARE = 0.1
TINY = float(np.finfo(np.float32).tiny)

Maps = Callable[[], Iterable[AnomalyMap]]
Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MapQuality:
    """Measures of one category's maps. Undefined is NaN.

    Attributes:
        category: Its name.
        pictures: How many maps it has.
        broken: How many hold values that are not finite; they count nowhere else.
        flat: Share of maps whose values differ by less than a thousandth of the category's range.
        coverage: Share of cells above the middle between the category's floor, its lowest tenth,
            and the mean of its maps' maxima.
        saturation: Mean over maps of the share of cells within 1 % of the map's own range of its
            maximum: a clipped map has plateaus.
        border: Energy per cell of the outermost ring over that of the cells inside, where energy is
            the squared height above the map's minimum.
        sameness: Mean over maps of the correlation with the mean of the category's other maps: near
            1, a map shows the camera rather than its picture.
    """

    category: str
    pictures: int
    broken: int
    flat: float
    coverage: float
    saturation: float
    border: float
    sameness: float


@dataclass(slots=True)
class _Seen:
    pictures: int = 0
    broken: int = 0
    low: float = np.inf
    high: float = -np.inf
    sum_of_maxima: float = 0.0
    sums: dict[tuple[int, ...], tuple[int, Grid]] = field(default_factory=dict)

    def add(self, grid: Grid) -> None:
        self.low, self.high = min(self.low, float(grid.min())), max(self.high, float(grid.max()))
        self.sum_of_maxima += float(grid.max())
        count, total = self.sums.get(grid.shape, (0, np.zeros_like(grid)))
        self.sums[grid.shape] = count + 1, total + grid


@dataclass(slots=True)
class _Drawn:
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    flat: int = 0
    saturation: list[float] = field(default_factory=list)
    border: list[float] = field(default_factory=list)
    sameness: list[float] = field(default_factory=list)

    def add(self, grid: Grid, seen: _Seen) -> None:
        span = max(seen.high - seen.low, TINY)
        places = ((grid - seen.low) / span * (BINS - 1)).astype(np.int64)
        self.histogram += np.bincount(places.ravel(), minlength=BINS)
        height = grid - grid.min()
        if height.max() <= FLAT_RANGE * span:
            self.flat += 1
            return
        self.saturation.append(float((height >= (1 - TOP_SHARE) * height.max()).mean()))
        self.border.append(_border(height**2))
        count, total = seen.sums[grid.shape]
        if count > 1:
            self.sameness.append(_correlation(grid, total - grid))


def measure_maps(maps: Maps) -> list[MapQuality]:
    """Measure the maps of every category, in two passes and with one map in memory at a time.

    Args:
        maps: Called for each pass.

    Returns:
        By category, in alphabetical order.
    """
    seen: dict[str, _Seen] = {}
    for item in maps():
        category = seen.setdefault(item.category, _Seen())
        category.pictures += 1
        grid = item.grid.astype(np.float64)
        if np.isfinite(grid).all():
            category.add(grid)
        else:
            category.broken += 1
    drawn = {name: _Drawn() for name in seen}
    for item in maps():
        grid = item.grid.astype(np.float64)
        if np.isfinite(grid).all():
            drawn[item.category].add(grid, seen[item.category])
    return [_quality(name, seen[name], drawn[name]) for name in sorted(seen)]


def _quality(category: str, seen: _Seen, drawn: _Drawn) -> MapQuality:
    whole = seen.pictures - seen.broken
    return MapQuality(
        category=category,
        pictures=seen.pictures,
        broken=seen.broken,
        flat=drawn.flat / whole if whole else np.nan,
        coverage=_coverage(seen, drawn.histogram, whole) if whole else np.nan,
        saturation=_mean(drawn.saturation),
        border=_mean(drawn.border),
        sameness=_mean(drawn.sameness),
    )


def _coverage(seen: _Seen, histogram: NDArray[np.int64], whole: int) -> float:
    span = seen.high - seen.low
    if span == 0:
        return float("nan")
    floor = np.searchsorted(histogram.cumsum(), FLOOR_SHARE * histogram.sum())
    peak = (seen.sum_of_maxima / whole - seen.low) / span * (BINS - 1)
    return float(histogram[int((floor + peak) / 2) + 1 :].sum() / histogram.sum())


def _border(energy: Grid) -> float:
    inner = energy[1:-1, 1:-1]
    ring = energy.size - inner.size
    if not inner.any():
        return float("inf")
    return float((energy.sum() - inner.sum()) / ring / inner.mean())


def _correlation(first: Grid, second: Grid) -> float:
    if second.std() == 0:
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
