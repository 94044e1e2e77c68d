"""The decision d of each picture, from whatever was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from millsight.evaluation.results.row import PictureResult
from millsight.platform.catalog.sample import GOOD


def by_score(rows: Sequence[PictureResult], threshold: float) -> list[PictureResult]:
    """Call a picture defective where its score is at least ``threshold``; chosen on validation."""
    return [
        replace(row, decision=None if row.score is None else row.score >= threshold) for row in rows
    ]


def by_pixels(rows: Sequence[PictureResult], min_area: int = 1) -> list[PictureResult]:
    """Call a picture defective where at least ``min_area`` pixels are predicted; by default any."""
    return [
        replace(
            row, decision=None if row.predicted_area is None else row.predicted_area >= min_area
        )
        for row in rows
    ]


def by_label(rows: Sequence[PictureResult]) -> list[PictureResult]:
    """Call a picture defective where its predicted class is not ``"good"``."""
    return [
        replace(row, decision=None if row.predicted_label is None else row.predicted_label != GOOD)
        for row in rows
    ]


def by_boxes(rows: Sequence[PictureResult], threshold: float) -> list[PictureResult]:
    """Call a picture defective where a predicted box scores at least ``threshold``."""
    return [
        replace(row, decision=None if row.predicted_boxes is None else _top(row) >= threshold)
        for row in rows
    ]


def score_by_boxes(rows: Sequence[PictureResult]) -> list[PictureResult]:
    """Score a picture by its best box, 0 where nothing was found; detectors score in [0, 1]."""
    return [
        replace(row, score=None if row.predicted_boxes is None else max(_top(row), 0.0))
        for row in rows
    ]


def _top(row: PictureResult) -> float:
    scores = [box.score for box in row.predicted_boxes or () if box.score is not None]
    return max(scores, default=float("-inf"))
