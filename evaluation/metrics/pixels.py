"""From anomaly maps and masks to pixel curves, for pictures of different sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.aupro import label_regions
from millsight.evaluation.metrics.ranking import RankingCurve


@dataclass(frozen=True, slots=True)
class PicturePixels:
    """The pixels of one picture, flat.

    Attributes:
        scores: ``(H * W,)`` float32, higher is more anomalous.
        regions: ``(H * W,)`` int32, 0 for background, 1..R for the true regions; ``None`` where
            the picture has no defective pixel.
        areas: ``(R,)`` region areas in pixels.
    """

    scores: NDArray[np.float32]
    regions: NDArray[np.int32] | None
    areas: NDArray[np.int64]

    @property
    def defective(self) -> NDArray[np.bool_]:
        """``(H * W,)`` bool, True on a defect."""
        if self.regions is None:
            return np.zeros(self.scores.size, dtype=bool)
        return self.regions > 0

    @property
    def overlap(self) -> NDArray[np.float64]:
        """``(H * W,)``, 1 / (area of its region) on a defect, 0 elsewhere."""
        if self.regions is None:
            return np.zeros(self.scores.size)
        return np.concatenate(([0.0], 1 / self.areas))[self.regions]


def resize_map(anomaly_map: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear resampling with half-pixel centres, as torch's ``align_corners=False``.

    Args:
        anomaly_map: ``(h, w)``, a patch grid or a map.
        size: ``(H, W)`` wanted.

    Returns:
        ``(H, W)`` float32.
    """
    values = np.asarray(anomaly_map, dtype=np.float32)
    if values.shape == size:
        return values
    resized = cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)


def picture_pixels(
    anomaly_map: NDArray[np.floating],
    mask: NDArray[np.bool_] | None,
    size: tuple[int, int] | None = None,
) -> PicturePixels:
    """Pair a map with its truth, at the mask's resolution.

    Args:
        anomaly_map: ``(h, w)``; resampled bilinearly where its shape differs from the mask's.
        mask: ``(H, W)`` bool, True on the defect; ``None`` for a picture known to be normal.
        size: ``(H, W)`` to score a picture without mask at; by default the map's own shape.
    """
    no_areas = np.zeros(0, dtype=np.int64)
    if mask is None:
        scores = resize_map(anomaly_map, size or anomaly_map.shape)
        return PicturePixels(scores.ravel(), None, no_areas)
    scores = resize_map(anomaly_map, mask.shape)
    if not mask.any():
        return PicturePixels(scores.ravel(), None, no_areas)
    regions, areas = label_regions(np.ascontiguousarray(mask))
    return PicturePixels(scores.ravel(), regions.ravel(), areas)


def pixel_curve(pictures: Sequence[PicturePixels]) -> RankingCurve:
    """Rank all pixels of all pictures with one sort: pixel AUROC, AP, F1-max and AUPRO.

    Raises:
        ValueError: If a score is NaN.
    """
    weights, tags, n_regions = [np.zeros(1)], [], 0
    for picture in pictures:
        tags.append(None if picture.regions is None else _shift(picture.regions, n_regions))
        weights.append(1 / picture.areas)
        n_regions += picture.areas.size
    return RankingCurve.from_tagged([p.scores for p in pictures], tags, np.concatenate(weights))


def _shift(regions: NDArray[np.int32], offset: int) -> NDArray[np.uint32]:
    return np.where(regions > 0, regions + offset, 0).astype(np.uint32)
