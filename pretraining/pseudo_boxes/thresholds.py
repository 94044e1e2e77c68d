"""Per-category thresholds, from one pass over the maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.pretraining.pseudo_boxes.config import BoxSettings


@dataclass(frozen=True, slots=True)
class CategoryThresholds:
    """What separates defect from background within one category.

    Attributes:
        pictures: How many maps the category has.
        map_threshold: T_c, in units of M: pixels with M > T_c are anomalous (eq. 11).
        tau: Pictures with S < tau are normal; NaN where nothing is gated.
        map_range: Smallest and largest value of M in the category.
    """

    pictures: int
    map_threshold: float
    tau: float
    map_range: tuple[float, float]

    def is_normal(self, score: float) -> bool:
        """Say whether a picture of image score S is gated: it gets no boxes."""
        return score < self.tau


@dataclass(slots=True)
class _Seen:
    sum_of_maxima: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf
    scores: list[float] = field(default_factory=list)


def category_thresholds(
    maps: Iterable[AnomalyMap], settings: BoxSettings
) -> dict[str, CategoryThresholds]:
    """Compute T_c = mean over the category's maps of max(M) - margin (eq. 9-10), and tau.

    The maximum is taken on the patch grid; bilinear interpolation never exceeds it. Only the
    image scores are held in memory.

    Args:
        maps: Of all categories, in any order.
        settings: ``margin``, ``tau`` and ``compat``: the released code has no gate.

    Returns:
        By category, in alphabetical order.
    """
    seen: dict[str, _Seen] = {}
    for item in maps:
        category = seen.setdefault(item.category, _Seen())
        highest = float(item.grid.max())
        category.sum_of_maxima += highest
        category.lowest = min(category.lowest, float(item.grid.min()))
        category.highest = max(category.highest, highest)
        category.scores.append(item.score)
    return {name: _thresholds(seen[name], settings) for name in sorted(seen)}


def _thresholds(seen: _Seen, settings: BoxSettings) -> CategoryThresholds:
    pictures = len(seen.scores)
    if settings.compat == "official":
        tau = math.nan
    else:
        tau = otsu(seen.scores) if settings.tau is None else settings.tau
    return CategoryThresholds(
        pictures=pictures,
        map_threshold=seen.sum_of_maxima / pictures - settings.margin,
        tau=tau,
        map_range=(seen.lowest, seen.highest),
    )


def otsu(values: Sequence[float]) -> float:
    """Return Otsu's threshold, exact for floats: no histogram is involved.

    Args:
        values: At least one number, in any order.

    Returns:
        Midpoint of the two neighbouring distinct values between which the variance between the
        two classes is largest; the lowest such gap in a tie. NaN if all values are equal.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    gaps = np.flatnonzero(np.diff(ordered) > 0)
    if not gaps.size:
        return math.nan
    below = gaps + 1.0
    above = len(ordered) - below
    # Centred, so that the variance of large and close scores does not cancel.
    sums = np.cumsum(ordered - ordered.mean())[gaps]
    between = sums**2 / (below * above)
    gap = gaps[int(between.argmax())]
    return float((ordered[gap] + ordered[gap + 1]) / 2)


def overall_range(thresholds: Mapping[str, CategoryThresholds]) -> tuple[float, float]:
    """Return the smallest and largest value of M over all categories."""
    ranges = [item.map_range for item in thresholds.values()]
    return min(low for low, _ in ranges), max(high for _, high in ranges)
