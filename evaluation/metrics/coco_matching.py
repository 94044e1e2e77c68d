"""COCO's greedy matching of boxes, by faster-coco-eval, from flat arrays to flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class FlatBoxes:
    """Boxes of many pictures, one beneath the other.

    Attributes:
        picture: ``(B,)`` int64, row of the picture.
        label: ``(B,)`` int64, index of the class.
        box: ``(B, 4)`` float64 as ``(x, y, width, height)`` in pixels.
        area: ``(B,)`` float64, in square pixels.
        score: ``(B,)`` float64; zeros for true boxes.
        crowd: ``(B,)`` bool, True on a true region that holds many defects.
    """

    picture: NDArray[np.int64]
    label: NDArray[np.int64]
    box: NDArray[np.float64]
    area: NDArray[np.float64]
    score: NDArray[np.float64]
    crowd: NDArray[np.bool_]

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Choose rows by their indices."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__slots__))

    def in_pictures(self, start: int, stop: int) -> NDArray[np.int64]:
        """Indices of the rows that lie in pictures ``start`` to ``stop - 1``."""
        return np.flatnonzero((start <= self.picture) & (self.picture < stop))

    def annotations(self) -> list[dict[str, Any]]:
        """COCO annotations. Every id starts at 1: a match with id 0 would pass for none."""
        columns = (self.picture + 1, self.label + 1, self.box, self.area, self.score)
        lists = [column.tolist() for column in (*columns, self.crowd.astype(np.int64))]
        return [
            {
                "id": number,
                "image_id": picture,
                "category_id": label,
                "bbox": box,
                "area": area,
                "score": score,
                "iscrowd": crowd,
            }
            for number, (picture, label, box, area, score, crowd) in enumerate(
                zip(*lists, strict=True), 1
            )
        ]


def match_boxes(
    truth: FlatBoxes, found: FlatBoxes, n_classes: int, areas: Sequence[tuple[float, float]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Match predicted with true boxes for S ranges of area and T IoU thresholds.

    Args:
        truth: True boxes.
        found: Predicted boxes, sorted by picture, then class, then falling score; at most 100 per
            picture and class.
        n_classes: Number of classes.
        areas: Smallest and largest area of each range, both included.

    Returns:
        ``(S, T, D)`` bool hits, and ``(S, T, D)`` bool for predictions to be ignored: unmatched
        ones outside the range, and those matched with a crowd or a true box outside the range.
    """
    shape = (2, len(areas), IOU_THRESHOLDS.size, found.label.size)
    flags = np.zeros(shape, dtype=bool)
    n_pictures = max(int(boxes.picture.max(initial=-1)) for boxes in (truth, found)) + 1
    for start in range(0, n_pictures, _CHUNK):
        stop = start + _CHUNK
        rows = found.in_pictures(start, stop)
        if rows.size:
            own_truth = truth.take(truth.in_pictures(start, stop))
            flags[..., rows] = _match_chunk(own_truth, found.take(rows), n_classes, areas)
    matched, ignored = flags
    return matched & ~ignored, ignored


def _match_chunk(
    truth: FlatBoxes, found: FlatBoxes, n_classes: int, areas: Sequence[tuple[float, float]]
) -> NDArray[np.bool_]:
    """``(2, S, T, D)``: matched, ignored."""
    pictures, rows = np.unique(np.concatenate([found.picture, truth.picture]), return_inverse=True)
    labels = np.concatenate([found.label, truth.label])
    box_areas = np.concatenate([found.area, truth.area])
    pairs = rows * n_classes + labels
    evaluations = _evaluate(truth, found, pictures, n_classes, areas)
    own, counts = np.unique(pairs[: found.label.size], return_counts=True)
    flags = np.zeros((2, len(areas), IOU_THRESHOLDS.size, found.label.size), dtype=bool)
    flags[1] = True
    for area, (low, high) in enumerate(areas):
        # Where no box of either side lies in the range, everything is ignored: nothing to read.
        read = np.isin(own, pairs[(low <= box_areas) & (box_areas <= high)])
        at = np.stack(np.divmod(own[read], n_classes))[::-1]
        places = ((at[0] * len(areas) + area) * pictures.size + at[1]).tolist()
        both = _read([evaluations[place] for place in places], counts[read])
        flags[:, area][..., np.repeat(read, counts)] = both
    return flags


def _read(evaluations: Sequence[Any], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """``(2, T, D)``: matched, ignored, of evaluations with ``counts`` predictions each."""
    matched, ignored = bytearray(), bytearray()
    for evaluation in evaluations:
        # The pickled state is the only way in: the class shows no attribute.
        matches, _, _, _, ignores, *_ = evaluation.__getstate__()
        matched.extend(map(bool, matches))
        ignored.extend(ignores)
    # They hold (T, count) flags for one evaluation after the other.
    starts = np.repeat(counts.cumsum() - counts, counts)
    within = np.arange(starts.size) - starts
    steps = np.arange(IOU_THRESHOLDS.size)[:, None] * np.repeat(counts, counts)
    places = IOU_THRESHOLDS.size * starts + steps + within
    return np.stack([np.frombuffer(part, dtype=bool)[places] for part in (matched, ignored)])


def _evaluate(
    truth: FlatBoxes,
    found: FlatBoxes,
    pictures: NDArray[np.int64],
    n_classes: int,
    areas: Sequence[tuple[float, float]],
) -> Sequence[Any]:
    """One evaluation per class, area and picture, the picture running fastest."""
    from faster_coco_eval import COCO, COCOeval_faster

    base = {
        "images": [{"id": picture + 1} for picture in pictures.tolist()],
        "categories": [{"id": label + 1, "name": str(label)} for label in range(n_classes)],
    }
    coco_truth, coco_found = (
        COCO({**base, "annotations": boxes.annotations()}) for boxes in (truth, found)
    )
    run = COCOeval_faster(coco_truth, coco_found, "bbox", separate_eval=True)
    run.params.areaRng = [list(limits) for limits in areas]
    run.params.areaRngLbl = [str(area) for area in range(len(areas))]
    run.params.iouThrs = IOU_THRESHOLDS
    run.evaluate()
    evaluations: Sequence[Any] = run._evalImgs_cpp
    return evaluations
