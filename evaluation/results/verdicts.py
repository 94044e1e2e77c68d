"""One picture's judgement in a word, and how bad it is: the order of galleries, worst first."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from millsight.evaluation.results.row import PictureResult, ResultBox

Verdict: TypeAlias = Literal["escape", "overkill", "caught", "passed"]

IOU = 0.5


def picture_verdict(row: PictureResult) -> Verdict | None:
    """Say what became of a part: ``escape`` is a defect shipped, ``overkill`` a good part stopped.

    ``None`` where truth or decision is not known.
    """
    if row.defective is None or row.decision is None:
        return None
    if row.defective:
        return "caught" if row.decision else "escape"
    return "overkill" if row.decision else "passed"


def picture_loss(row: PictureResult) -> float:
    """Say how bad a picture's prediction is, from 0 (right, as far as is known) to 4.

    Escapes (3 to 4) come before over-kill (2 to 3), surest mistake first; then wrong classes (1 to
    2), then what is wrong with masks (1 - IoU), boxes (missed ones / (true ones + 1): six of six
    are worse than one of one) and, without a decision, scores.
    """
    verdict = picture_verdict(row)
    if verdict == "escape":
        return 3 + _surprise(row)
    if verdict == "overkill":
        return 2 + _surprise(row)
    found = found_boxes(row)
    parts = [_wrong_class(row), 0.0 if found is None else (found[1] - found[0]) / (found[1] + 1)]
    if verdict == "caught":
        parts.append(_missed_pixels(row))
    if verdict is None and row.defective is not None:
        parts.append(_surprise(row))
    return max(parts)


def found_boxes(row: PictureResult) -> tuple[int, int] | None:
    """Count true boxes that a predicted one of their class overlaps with IoU 0.5, and all of them.

    ``None`` where there is no true box or no detector ran.
    """
    true = [box for box in row.true_boxes or () if not box.crowd]
    if not true or row.predicted_boxes is None:
        return None
    found = [any(_covers(box, other) for other in row.predicted_boxes) for box in true]
    return sum(found), len(found)


def _surprise(row: PictureResult) -> float:
    """How far truth and score are apart, in (0, 1); without a score, by the area that is wrong."""
    if row.score is not None:
        share = 0.5 + math.atan(row.score) / math.pi
        return 1 - share if row.defective else share
    area = row.defect_area if row.defective else row.predicted_area
    return math.sqrt(min(1.0, (area or 0) / (row.width * row.height)))


def _wrong_class(row: PictureResult) -> float:
    if None in (row.label, row.predicted_label) or row.label == row.predicted_label:
        return 0.0
    stated = row.class_scores.get(row.predicted_label or "", 0.0)
    return 1 + min(1.0, max(0.0, stated))


def _missed_pixels(row: PictureResult) -> float:
    if row.tp is None or row.fp is None or row.fn is None or row.tp + row.fn == 0:
        return 0.0
    return 1 - row.tp / (row.tp + row.fp + row.fn)


def _covers(true: ResultBox, found: ResultBox) -> bool:
    return true.label == found.label and _iou(true, found) >= IOU


def _iou(one: ResultBox, other: ResultBox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    common = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 0.0


def _area(box: ResultBox) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)
