"""Distances on masks: growing them, closing gaps, boxes around what lies together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from millsight.evaluation.metrics.aupro import label_regions
from millsight.generators.samples import Box

Mask = NDArray[np.bool_]
PIXEL = np.ones((3, 3), np.uint8)


def reach(share: float, size: tuple[int, int]) -> int:
    """Return a distance in whole pixels, at least 1.

    Args:
        share: Of the picture's shorter side.
        size: ``(H, W)`` of the picture.
    """
    return max(1, round(share * min(size)))


def distance_to(mask: Mask) -> NDArray[np.float32]:
    """``(H, W)`` float32: pixels from each pixel's centre to the nearest centre in the mask.

    Infinite everywhere for an empty mask.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    outside = (~mask).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def dilate(mask: Mask, pixels: float) -> Mask:
    """Return all pixels at most ``pixels`` from the mask, centre to centre; ``(H, W)`` bool."""
    # Single precision may put a whole distance a little beyond itself.
    grown: Mask = distance_to(mask) <= pixels + 1e-3
    return grown


def keep_regions(mask: Mask, smallest: int) -> Mask:
    """Return the mask without 8-connected regions of fewer than ``smallest`` pixels."""
    regions, areas = label_regions(np.ascontiguousarray(mask))
    kept: Mask = np.concatenate([[False], areas >= smallest])[regions]
    return kept


def group_boxes(mask: Mask, distance: float) -> tuple[Box, ...]:
    """Return one box for each group of regions that lie together.

    Two 8-connected regions belong together where any two of their pixels are at most ``distance``
    apart, centre to centre, and so do all that a chain of such pairs joins.

    Args:
        mask: ``(H, W)`` bool.
        distance: In pixels.

    Returns:
        ``(x0, y0, x1, y1)`` in pixels, far corner exclusive, in the order in which their groups are
        met row by row. Together they hold every pixel of the mask, and each touches it on all four
        sides.
    """
    regions, areas = label_regions(np.ascontiguousarray(mask))
    if not areas.size:
        return ()
    group = _groups(mask, regions, areas.size, distance)[regions[mask] - 1]
    rows, columns = np.nonzero(mask)
    boxes = [_bounds(rows[group == one], columns[group == one]) for one in dict.fromkeys(group)]
    return tuple(boxes)


def _groups(
    mask: Mask, regions: NDArray[np.int32], count: int, distance: float
) -> NDArray[np.int32]:
    """``(count,)`` group of each region."""
    # Two regions are nearest to each other at their outlines.
    inner = cv2.erode(mask.astype(np.uint8), PIXEL, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rows, columns = np.nonzero(mask & (inner == 0))
    own = regions[rows, columns]
    margin = int(distance)
    padded = np.pad(regions, margin)
    ends = [np.stack([own, own])]
    for dy, dx in _half_disc(distance):
        other = padded[rows + margin + dy, columns + margin + dx]
        apart = (other > 0) & (other != own)
        ends.append(np.stack([own[apart], other[apart]]))
    one, other = np.concatenate(ends, axis=1) - 1
    graph = coo_array((np.ones(one.size, np.int8), (one, other)), (count, count))
    groups: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return groups


def _half_disc(radius: float) -> list[tuple[int, int]]:
    """Steps ``(dy, dx)`` of at most ``radius``, one of each two opposite ones."""
    whole = int(radius)
    return [
        (dy, dx)
        for dy in range(whole + 1)
        for dx in range(-whole, whole + 1)
        if dy**2 + dx**2 <= radius**2 and (dy, dx) > (0, 0)
    ]


def _bounds(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Box:
    return (
        float(columns.min()),
        float(rows.min()),
        float(columns.max() + 1),
        float(rows.max() + 1),
    )
