"""From the rows of a result table to the metrics of every task that they hold."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics import (
    AREA_EDGES,
    ELONGATION_EDGES,
    BootstrapConfig,
    BoxMatches,
    ClassificationEvaluation,
    DetectionEvaluation,
    PictureBoxes,
    PictureCounts,
    SampleEvaluation,
    UnitCosts,
    bin_slices,
    evaluate_classes,
    evaluate_matches,
    evaluate_samples,
)
from millsight.evaluation.results.row import PictureResult, ResultBox


def judge_samples(
    rows: Sequence[PictureResult],
    *,
    costs: UnitCosts | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> SampleEvaluation | None:
    """Judge decisions and masks, in all and by area and elongation of the true defect.

    Pictures whose truth or decision is not known are left out; those without pixel counts count for
    the decisions only. ``None`` where no picture is left.
    """
    kept = [row for row in rows if row.defective is not None and row.decision is not None]
    if not kept:
        return None
    counts = PictureCounts.of(
        _numbers([row.tp for row in kept]),
        _numbers([row.fp for row in kept]),
        _numbers([row.fn for row in kept]),
        [bool(row.defective) for row in kept],
        [bool(row.decision) for row in kept],
    )
    # A good picture has area 0, which is no defect of the smallest size.
    area = _numbers([row.defect_area or None for row in kept])
    elongation = _numbers([row.defect_elongation for row in kept])
    slices = bin_slices("area", area, AREA_EDGES)
    slices |= bin_slices("elongation", elongation, ELONGATION_EDGES)
    return evaluate_samples(
        counts, slices=slices, costs=costs, ids=picture_ids(kept), bootstrap=bootstrap
    )


def judge_boxes(
    rows: Sequence[PictureResult], *, bootstrap: BootstrapConfig | None = None
) -> DetectionEvaluation | None:
    """Judge predicted boxes, over all classes that a true or predicted box of the rows names.

    Pictures without known true boxes or without a detector's answer are left out; ``None`` where no
    picture is left. Boxes without a class share the class ``"defect"``.
    """
    kept = with_boxes(rows)
    if not kept:
        return None
    evaluation = evaluate_matches(match_rows(kept), bootstrap)
    true = [[(*astuple(box), _name(box)) for box in row.true_boxes or ()] for row in kept]
    return replace(evaluation, truth=_truth(kept, true))


def with_boxes(rows: Sequence[PictureResult]) -> list[PictureResult]:
    """Return the rows whose boxes can be judged: true ones known, and a detector's answer."""
    return [row for row in rows if row.true_boxes is not None and row.predicted_boxes is not None]


def match_rows(rows: Sequence[PictureResult]) -> BoxMatches:
    """Match the boxes of rows that have both true and predicted ones."""
    found = {_name(box) for row in rows for box in (row.true_boxes or ())}
    found |= {_name(box) for row in rows for box in (row.predicted_boxes or ())}
    classes = sorted(found)
    numbers = {name: number for number, name in enumerate(classes)}
    return BoxMatches.of([_picture_boxes(row, numbers) for row in rows], classes)


def judge_classes(
    rows: Sequence[PictureResult], *, bootstrap: BootstrapConfig | None = None
) -> ClassificationEvaluation | None:
    """Judge predicted classes, and their calibration where every picture has scores of all classes.

    Pictures without a true or a predicted class are left out; ``None`` where none is left.
    """
    kept = [row for row in rows if row.label is not None and row.predicted_label is not None]
    if not kept:
        return None
    names = {str(name) for row in kept for name in (row.label, row.predicted_label)}
    classes = sorted(names.union(*(row.class_scores for row in kept)))
    numbers = {name: number for number, name in enumerate(classes)}
    scored = all(set(row.class_scores) == set(classes) for row in kept)
    evaluation = evaluate_classes(
        [numbers[str(row.label)] for row in kept],
        [numbers[str(row.predicted_label)] for row in kept],
        classes,
        probabilities=[[row.class_scores[name] for name in classes] for row in kept]
        if scored
        else None,
        bootstrap=bootstrap,
    )
    return replace(evaluation, truth=_truth(kept, [row.label for row in kept]))


def _picture_boxes(row: PictureResult, numbers: dict[str, int]) -> PictureBoxes:
    true, predicted = row.true_boxes or (), row.predicted_boxes or ()
    return PictureBoxes(
        truth_boxes=_corners(true),
        truth_labels=np.array([numbers[_name(box)] for box in true], dtype=np.int64),
        boxes=_corners(predicted),
        labels=np.array([numbers[_name(box)] for box in predicted], dtype=np.int64),
        scores=_numbers([box.score for box in predicted]),
        truth_areas=np.array(
            [
                (box.x1 - box.x0) * (box.y1 - box.y0) if box.area is None else box.area
                for box in true
            ],
            dtype=np.float64,
        ),
        truth_crowd=np.array([box.crowd for box in true], dtype=bool),
    )


def _name(box: ResultBox) -> str:
    return box.label or "defect"


def _corners(boxes: Sequence[ResultBox]) -> NDArray[np.float64]:
    corners = [(box.x0, box.y0, box.x1, box.y1) for box in boxes]
    return np.array(corners, dtype=np.float64).reshape(-1, 4)


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """A column as float64, NaN where it is not known."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def picture_ids(rows: Sequence[PictureResult]) -> list[str]:
    """Name the pictures by content, for two machines may keep them in different folders.

    Files of equal bytes are told apart by their order.
    """
    seen: Counter[str] = Counter()
    names = []
    for row in rows:
        names.append(f"{row.sample_id} {seen[row.sample_id]}")
        seen[row.sample_id] += 1
    return names


def _truth(rows: Sequence[PictureResult], true: Sequence[object]) -> int:
    """Checksum of pictures and truth alone: runs may differ in the classes that they predict."""
    return zlib.crc32(repr((picture_ids(rows), true)).encode(errors="replace"))
