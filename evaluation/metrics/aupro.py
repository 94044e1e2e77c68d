"""Area under the per-region overlap curve (AUPRO; Bergmann et al., MVTec AD, section 5.3)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.ranking import Array, RankingCurve

FPR_LIMIT = 0.3


def label_regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number the 8-connected regions of a mask.

    Args:
        mask: ``(H, W)`` bool, True on the defect.

    Returns:
        ``(H, W)`` int32 with 0 for background and 1..R for the regions, and ``(R,)`` areas in
        pixels.
    """
    _, regions, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return np.asarray(regions, dtype=np.int32), stats[1:, cv2.CC_STAT_AREA].astype(np.int64)


def aupro(curve: RankingCurve, fpr_limit: float = FPR_LIMIT) -> Array:
    """Mean overlap of the true regions, averaged over false-positive rates 0 to ``fpr_limit``.

    The curve runs straight between neighbouring thresholds and is cut exactly at the limit. The
    false-positive rate counts the background pixels of all pictures.

    Args:
        curve: A pixel curve (see :func:`millsight.evaluation.metrics.pixels.pixel_curve`).
        fpr_limit: In (0, 1].

    Returns:
        ``(...)`` in [0, 1]; NaN without regions or without background.
    """
    n_background = curve.negatives.sum(-1, keepdims=True)
    n_regions = curve.overlap.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        fpr_step = curve.negatives / n_background
        overlap_step = curve.overlap / n_regions
        fpr = fpr_step.cumsum(-1)
        width = np.minimum(fpr, fpr_limit) - np.minimum(fpr - fpr_step, fpr_limit)
        share = np.where(fpr_step > 0, width / fpr_step, 0.0)
    height = overlap_step.cumsum(-1) - overlap_step * (1 - share / 2)
    area = (width * height).sum(-1) / fpr_limit
    return np.where((n_background > 0) & (n_regions > 0), area[..., None], np.nan)[..., 0]
