"""Overlap of binarised maps with true masks: category thresholds against one fixed threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SWEEP = 256


@dataclass(frozen=True, slots=True)
class MaskIou:
    """Mask IoU over the defective pictures, of a category or of all.

    Attributes:
        pictures: Those with a mask that is not empty; with none, all below are NaN.
        category_pooled: Sum of intersections over sum of unions, at M > T_c.
        category_mean: Mean of the pictures' IoU, at M > T_c.
        fixed_pooled: Pooled IoU at ``fixed_threshold_pooled``.
        fixed_mean: Mean IoU at ``fixed_threshold_mean``.
        fixed_threshold_pooled: The one threshold that is best for the pooled IoU of all
            categories together.
        fixed_threshold_mean: The same for the mean IoU of all pictures.
    """

    pictures: int = 0
    category_pooled: float = math.nan
    category_mean: float = math.nan
    fixed_pooled: float = math.nan
    fixed_mean: float = math.nan
    fixed_threshold_pooled: float = math.nan
    fixed_threshold_mean: float = math.nan


class _Sums:
    """Intersections, unions and IoUs summed over pictures; last entry at T_c, others fixed."""

    def __init__(self) -> None:
        self.pictures = 0
        self.intersection = np.zeros(SWEEP + 1, dtype=np.int64)
        self.union = np.zeros(SWEEP + 1, dtype=np.int64)
        self.iou = np.zeros(SWEEP + 1, dtype=np.float64)

    def add(self, other: _Sums) -> None:
        self.pictures += other.pictures
        self.intersection += other.intersection
        self.union += other.union
        self.iou += other.iou

    def pooled(self) -> np.ndarray:
        return self.intersection / self.union

    def mean(self) -> np.ndarray:
        return self.iou / self.pictures


class MaskIouSweep:
    """Compares T_c with the best fixed threshold (AGSSP Fig. 7), one picture at a time.

    The fixed threshold is the best of 256 evenly spaced ones, chosen on the very masks that it is
    judged by: an upper bound that no user without masks can reach. Memory is 6 KB a category.

    Args:
        lowest: Smallest value of M over all maps: the first threshold.
        highest: Largest value of M over all maps; no pixel lies above it, so it is left out.
    """

    def __init__(self, lowest: float, highest: float) -> None:
        self._thresholds = np.linspace(lowest, highest, SWEEP, endpoint=False, dtype=np.float32)
        self._sums: dict[str, _Sums] = {}

    def add(
        self, category: str, anomaly_map: np.ndarray, mask: np.ndarray, threshold: float
    ) -> None:
        """Count one picture; one with an empty mask is not defective and is left out.

        Args:
            category: Of the picture.
            anomaly_map: float32 (H, W), M at the picture's size.
            mask: bool (H, W), true defect pixels.
            threshold: T_c of the category.
        """
        defect_pixels = int(np.count_nonzero(mask))
        if not defect_pixels:
            return
        binary = anomaly_map > np.float32(threshold)
        hits = np.append(self._above(anomaly_map[mask]), np.count_nonzero(binary & mask))
        found = np.append(self._above(anomaly_map), np.count_nonzero(binary))
        picture = _Sums()
        picture.pictures = 1
        picture.intersection = hits
        picture.union = defect_pixels + found - hits
        picture.iou = hits / picture.union
        self._sums.setdefault(category, _Sums()).add(picture)

    def _above(self, values: np.ndarray) -> np.ndarray:
        """Count, for each threshold, the values strictly above it; int64 (256,)."""
        exceeded = np.searchsorted(self._thresholds, values.ravel(), side="left")
        counts = np.bincount(exceeded, minlength=SWEEP + 1)
        return np.cumsum(counts[::-1])[::-1][1:]

    def results(self) -> tuple[MaskIou, dict[str, MaskIou]]:
        """Return the IoU over all categories, and of each category that has masks."""
        total = _Sums()
        for sums in self._sums.values():
            total.add(sums)
        if not total.pictures:
            return MaskIou(), {}
        best_pooled = int(total.pooled()[:SWEEP].argmax())
        best_mean = int(total.mean()[:SWEEP].argmax())
        each = {
            name: self._result(sums, best_pooled, best_mean) for name, sums in self._sums.items()
        }
        return self._result(total, best_pooled, best_mean), each

    def _result(self, sums: _Sums, best_pooled: int, best_mean: int) -> MaskIou:
        pooled, mean = sums.pooled(), sums.mean()
        return MaskIou(
            pictures=sums.pictures,
            category_pooled=float(pooled[-1]),
            category_mean=float(mean[-1]),
            fixed_pooled=float(pooled[best_pooled]),
            fixed_mean=float(mean[best_mean]),
            fixed_threshold_pooled=float(self._thresholds[best_pooled]),
            fixed_threshold_mean=float(self._thresholds[best_mean]),
        )
