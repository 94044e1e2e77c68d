"""What ``millsight boxes`` reports per category."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.pretraining.pseudo_boxes.boxes import Box
from millsight.pretraining.pseudo_boxes.mask_iou import MaskIou
from millsight.pretraining.pseudo_boxes.thresholds import CategoryThresholds

AREA_SHARES = (0.0, 0.0001, 0.001, 0.01, 0.03, 0.1, 0.25, 1.0)


@dataclass(frozen=True, slots=True)
class CategoryReport:
    """One category's boxes in numbers.

    Attributes:
        pictures: Maps of the category.
        map_threshold: T_c, in units of M.
        tau: Gate on S; NaN where nothing is gated.
        normal_share: Share of pictures gated as normal.
        boxes: Boxes in all.
        boxes_per_picture: Mean, gated pictures included.
        boxes_histogram: Pictures with 0, 1, 2, ... boxes.
        area_histogram: Boxes whose region takes a share of its picture in [a, b), for consecutive
            ``AREA_SHARES``; the last interval includes 1.
        mask_iou: Against true masks, where there are any.
    """

    pictures: int
    map_threshold: float
    tau: float
    normal_share: float
    boxes: int
    boxes_per_picture: float
    boxes_histogram: tuple[int, ...]
    area_histogram: tuple[int, ...]
    mask_iou: MaskIou


@dataclass(frozen=True, slots=True)
class BoxReport:
    """The report of all categories.

    Attributes:
        pictures: Maps in all.
        boxes: Boxes in all.
        mask_iou: Over the pictures of all categories.
        categories: In alphabetical order.
    """

    pictures: int
    boxes: int
    mask_iou: MaskIou
    categories: Mapping[str, CategoryReport]

    def to_json(self) -> dict[str, Any]:
        """Return what JSON knows; NaN becomes null."""
        fields = dataclasses.asdict(self) | {"area_shares": AREA_SHARES}
        converted: dict[str, Any] = _null_nan(fields)
        return converted


class BoxCounter:
    """Counts boxes per category while they stream by.

    Args:
        thresholds: Of the categories that will come.
        max_boxes: Most boxes a picture can have.
    """

    def __init__(self, thresholds: Mapping[str, CategoryThresholds], max_boxes: int) -> None:
        self._thresholds = thresholds
        self._normal = dict.fromkeys(thresholds, 0)
        self._counts = {name: np.zeros(max_boxes + 1, dtype=np.int64) for name in thresholds}
        self._areas = {name: np.zeros(len(AREA_SHARES) - 1, dtype=np.int64) for name in thresholds}

    def add(self, item: AnomalyMap, boxes: Sequence[Box], *, normal: bool) -> None:
        """Count one picture."""
        self._normal[item.category] += normal
        self._counts[item.category][len(boxes)] += 1
        shares = [box.area / (item.width * item.height) for box in boxes]
        self._areas[item.category] += np.histogram(shares, bins=AREA_SHARES)[0]

    def report(self, overall: MaskIou, mask_iou: Mapping[str, MaskIou]) -> BoxReport:
        """Sum up.

        Args:
            overall: Mask IoU over all categories.
            mask_iou: By category, where it has masks.
        """
        categories = {
            name: self._category(name, mask_iou.get(name, MaskIou())) for name in self._thresholds
        }
        return BoxReport(
            pictures=sum(item.pictures for item in categories.values()),
            boxes=sum(item.boxes for item in categories.values()),
            mask_iou=overall,
            categories=categories,
        )

    def _category(self, name: str, mask_iou: MaskIou) -> CategoryReport:
        thresholds, counts = self._thresholds[name], self._counts[name]
        boxes = int(counts @ np.arange(len(counts)))
        return CategoryReport(
            pictures=thresholds.pictures,
            map_threshold=thresholds.map_threshold,
            tau=thresholds.tau,
            normal_share=self._normal[name] / thresholds.pictures,
            boxes=boxes,
            boxes_per_picture=boxes / thresholds.pictures,
            boxes_histogram=tuple(counts.tolist()),
            area_histogram=tuple(self._areas[name].tolist()),
            mask_iou=mask_iou,
        )


def _null_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _null_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_null_nan(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
