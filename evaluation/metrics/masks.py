"""Exact pixel counts of mask pairs, and the shape of a true defect."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.aupro import label_regions

Counts = NDArray[np.int64]

_BLOCK_BYTES = 1 << 21  # one block of packed masks stays in the cache


def count_masks(
    predicted: NDArray[np.bool_], true: NDArray[np.bool_]
) -> tuple[Counts, Counts, Counts]:
    """Count the pixels of many mask pairs: true positives, false positives, false negatives.

    Args:
        predicted: ``(..., H, W)`` bool, True on the predicted defect.
        true: ``(..., H, W)`` bool, True on the true defect.

    Returns:
        Three ``(...)`` int64 arrays: |P and G|, |P| - |P and G|, |G| - |P and G|, in pixels.

    Raises:
        ValueError: If the two shapes differ.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"masks of shape {predicted.shape} and {true.shape} cannot be paired")
    outer, n_pixels = predicted.shape[:-2], predicted.shape[-2] * predicted.shape[-1]
    n_pairs = int(np.prod(outer, dtype=np.int64))
    sums = np.zeros((3, n_pairs), dtype=np.int64)
    rows = max(1, _BLOCK_BYTES // max(n_pixels, 1))
    pair = [np.reshape(masks, (n_pairs, n_pixels)) for masks in (predicted, true)]
    for start in range(0, n_pairs, rows):
        p, g = (_pack(masks[start : start + rows]) for masks in pair)
        for total, words in zip(sums, (p & g, p, g), strict=True):
            ones = np.bitwise_count(words)
            total[start : start + rows] = ones.sum(axis=1, dtype=np.int64)
    both, in_predicted, in_true = sums.reshape(3, *outer)
    return both, in_predicted - both, in_true - both


def _pack(masks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """``(n, pixels)`` bool to ``(n, words)``; the last word is filled up with zeros."""
    packed = np.packbits(masks, axis=1)
    missing = -packed.shape[1] % 8
    if missing:
        packed = np.pad(packed, ((0, 0), (0, missing)))
    return packed.view(np.uint64)


@dataclass(frozen=True, slots=True)
class DefectShape:
    """Size and shape of the true defect of one picture.

    Attributes:
        area: Defective pixels of the whole mask.
        largest_area: Pixels of its largest 8-connected region; 0 for an empty mask.
        elongation: Long side over short side of that region's rectangle, at least 1; NaN for an
            empty mask.
        n_regions: Number of 8-connected regions.
    """

    area: int
    largest_area: int
    elongation: float
    n_regions: int


def defect_shape(mask: NDArray[np.bool_]) -> DefectShape:
    """Measure a true defect.

    Elongation is that of the rotated rectangle of least area around the largest 8-connected region
    (of equals, the one met first row by row). Pixels are unit squares and the rectangle holds
    their corners, so a scratch one pixel wide and L pixels long has elongation L, upright or
    diagonal. A bent scratch fills its rectangle badly and counts as less elongated than it is.

    Args:
        mask: ``(H, W)`` bool, True on the defect.
    """
    regions, areas = label_regions(np.ascontiguousarray(mask))
    if not areas.size:
        return DefectShape(0, 0, float("nan"), 0)
    largest = int(areas.argmax())
    elongation = _elongation(regions == largest + 1)
    return DefectShape(int(areas.sum()), int(areas[largest]), elongation, areas.size)


def _elongation(region: NDArray[np.bool_]) -> float:
    rows, columns = np.nonzero(region)
    # The hull needs the outermost pixels of every row only.
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    last = np.append(first[1:], rows.size) - 1
    left = np.stack([columns[first], rows[first]], axis=1)
    right = np.stack([columns[last] + 1, rows[last]], axis=1)
    sides = np.concatenate([left, right])
    corners = np.concatenate([sides, sides + np.array([0, 1])]).astype(np.int32)
    short, long = sorted(cv2.minAreaRect(corners)[1])
    return float(long / short)
