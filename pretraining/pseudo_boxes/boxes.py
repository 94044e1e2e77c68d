"""Boxes of one anomaly map, by the paper and by the released code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torchvision.ops import nms

from millsight.pretraining.pseudo_boxes.config import BoxSettings

CONNECTIVITY = 8
SMALLEST_AREA = 10


@dataclass(frozen=True, slots=True)
class Box:
    """A pseudo-defect box, in pixels of the upright picture, x right and y down.

    Attributes:
        x: Left edge: the first column inside.
        y: Top edge: the first row inside.
        width: Columns inside.
        height: Rows inside.
        score: Largest M inside the box.
        area: Of the anomalous region, square pixels; with ``compat="official"`` the area of the
            polygon through the outline's pixel centres, holes included.
    """

    x: int
    y: int
    width: int
    height: int
    score: float
    area: float


def find_boxes(anomaly_map: np.ndarray, threshold: float, settings: BoxSettings) -> list[Box]:
    """Turn one map into boxes (AGSSP section 4.2, eq. 11).

    ``compat="paper"``: binarise M > threshold, 8-connected components, drop those under
    ``smallest_area``, score by the largest M inside the box, keep the best ``max_boxes``, then
    non-maximum suppression at ``nms_iou``.

    ``compat="official"`` keeps these quirks of the released code:

    * Regions are outer contours, so holes count as area, and a region within another's hole is
      not found.
    * A region's area is that of the polygon through its outline's pixel centres: a square of
      n x n pixels has (n - 1)^2 and a line one pixel wide has none, so thin defects are dropped.
    * Suppression reads its box tuple (score, class, x centre, y centre, width, height) one place
      too early. What it compares are rectangles with the class number 0 as x centre, the x centre
      as y centre, the y centre as width and the width as height, all as shares of the picture.
      Boxes at the same x go even where they are far apart in y, and overlapping ones stay.
    * Two boxes at exactly ``nms_iou`` do not both stay, where torchvision's would.

    That pictures are not gated and that one threshold is used, is up to the caller.

    Args:
        anomaly_map: float32 (H, W), M at the picture's size.
        threshold: T_c, in units of M.
        settings: ``compat``, ``max_boxes`` and ``nms_iou``.

    Returns:
        Descending by score; equal scores keep the order in which they were found.
    """
    binary = (anomaly_map > np.float32(threshold)).astype(np.uint8)
    official = settings.compat == "official"
    regions = _outer_contours(binary) if official else _components(binary)
    boxes = [_box(anomaly_map, region) for region in regions]
    best = sorted(boxes, key=lambda box: box.score, reverse=True)[: settings.max_boxes]
    if official:
        return _suppress_misindexed(best, settings.nms_iou, binary.shape)
    return _suppress(best, settings.nms_iou)


def smallest_area(height: int, width: int) -> int:
    """Return the area in pixels under which a region is noise: (H // 100) (W // 100), 10 at least.

    Args:
        height: Of the picture, pixels.
        width: Of the picture, pixels.
    """
    return max((height // 100) * (width // 100), SMALLEST_AREA)


Region = tuple[int, int, int, int, float]


def _components(binary: np.ndarray) -> list[Region]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=CONNECTIVITY)
    found = stats[1:]
    large = found[found[:, cv2.CC_STAT_AREA] >= smallest_area(*binary.shape)]
    return [(int(x), int(y), int(w), int(h), float(area)) for x, y, w, h, area in large]


def _outer_contours(binary: np.ndarray) -> list[Region]:
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    least = smallest_area(*binary.shape)
    regions: list[Region] = []
    for contour in contours:
        area = float(cv2.contourArea(contour))
        if area >= least:
            x, y, width, height = cv2.boundingRect(contour)
            regions.append((x, y, width, height, area))
    return regions


def _box(anomaly_map: np.ndarray, region: Region) -> Box:
    x, y, width, height, area = region
    score = float(anomaly_map[y : y + height, x : x + width].max())
    return Box(x, y, width, height, score, area)


def _suppress(boxes: Sequence[Box], iou: float) -> list[Box]:
    corners = [[b.x, b.y, b.x + b.width, b.y + b.height] for b in boxes]
    keep = nms(
        torch.tensor(corners, dtype=torch.float32).reshape(-1, 4),
        torch.tensor([box.score for box in boxes], dtype=torch.float32),
        iou,
    )
    return [boxes[index] for index in keep.tolist()]


def _suppress_misindexed(boxes: Sequence[Box], iou: float, shape: tuple[int, ...]) -> list[Box]:
    """Suppress greedily on the rectangles that the released code compares by mistake."""
    height, width = shape
    kept: list[Box] = []
    spans: list[tuple[float, float, float]] = []
    for box in boxes:
        centre_x, centre_y = (box.x + box.width / 2) / width, (box.y + box.height / 2) / height
        span = (centre_x, centre_y, box.width / width)
        if all(_misindexed_iou(span, other) < iou for other in spans):
            kept.append(box)
            spans.append(span)
    return kept


def _misindexed_iou(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    """IoU of two rectangles, both centred at x = 0, each given as (y centre, width, height)."""
    across = min(first[1], second[1])
    top = max(first[0] - first[2] / 2, second[0] - second[2] / 2)
    bottom = min(first[0] + first[2] / 2, second[0] + second[2] / 2)
    intersection = across * max(0.0, bottom - top)
    union = first[1] * first[2] + second[1] * second[2] - intersection
    return intersection / union
