"""From judged runs to what the report says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics import MapEvaluation
from millsight.evaluation.metrics.results import METRICS
from millsight.evaluation.reports import (
    PredictedMask,
    ReportContent,
    ReportPicture,
    ReportRun,
    task_sections,
)
from millsight.evaluation.results.masks import open_predicted
from millsight.evaluation.results.row import PictureResult, ResultBox
from millsight.evaluation.results.truth import true_mask
from millsight.evaluation.results.verdicts import found_boxes, picture_loss, picture_verdict
from millsight.evaluation.runs.judged import JudgedRun
from millsight.evaluation.runs.map_sources import Box, boxes_by_picture
from millsight.platform.catalog.pictures import open_picture
from millsight.platform.errors import UserError

DRAWN_BOXES = 20
SHOWN = 5


def report_content(runs: Sequence[JudgedRun]) -> ReportContent:
    """Gather the report about the first run, the others beside it."""
    first = runs[0]
    rows = first.rows()
    provenance = dict(first.source.facts)
    if len(runs) > 1:
        provenance["compared with"] = {run.name: run.source.facts for run in runs[1:]}
    shown = [ReportRun(run.name, run.evaluation, run.curves, run.differences) for run in runs]
    return ReportContent(
        title="Anomaly maps" if first.source.maps is not None else f"Evaluation of {first.name}",
        provenance=provenance,
        pictures=_pictures(first, rows),
        evaluation=_shown_maps(first.evaluation.maps),
        quarantined=[] if first.source.maps is None else first.source.maps.quarantined(),
        warnings=_warnings(runs, rows),
        sections=task_sections(shown),
    )


def _shown_maps(found: MapEvaluation | None) -> MapEvaluation | None:
    """Leave out a table of dashes, as of a set without good pictures."""
    if found is None or all(math.isnan(getattr(found.mean, name).value) for name in METRICS):
        return None
    return found


def _pictures(run: JudgedRun, rows: Sequence[PictureResult]) -> list[ReportPicture]:
    sources = run.source.maps
    if sources is None:
        return [_picture(row, None, _surest(row.predicted_boxes)) for row in rows]
    grids = {item.sample_id: item.grid for item, _ in sources.pairs}
    drawn = boxes_by_picture(sources.boxes)
    return [
        _picture(
            row,
            grids[row.sample_id],
            drawn.get(row.sample_id, ()) or _surest(row.predicted_boxes),
        )
        for row in rows
    ]


def _picture(
    row: PictureResult, grid: NDArray[np.floating] | None, boxes: Sequence[Box]
) -> ReportPicture:
    return ReportPicture(
        uri=row.uri,
        category=row.category,
        label=row.defective,
        score=row.score,
        picture=partial(open_picture, row.uri),
        anomaly_map=grid,
        mask=partial(_true, row) if row.defective and row.has_mask else None,
        boxes=boxes,
        defect=row.label,
        true_boxes=[_corners(box) for box in row.true_boxes or ()],
        predicted=None if row.predicted_mask_uri is None else partial(_predicted, row),
        verdict=picture_verdict(row),
        loss=picture_loss(row),
        remark=_remark(row),
    )


def _surest(boxes: Sequence[ResultBox] | None) -> list[Box]:
    """Corners of the surest boxes; detectors state up to a hundred, most of them unlikely."""
    ranked = sorted(boxes or (), key=lambda box: -(box.score or 0.0))[:DRAWN_BOXES]
    least = (ranked[0].score or 0.0) / 2 if ranked else 0.0
    return [_corners(box) for box in ranked if (box.score or 0.0) >= least]


def _corners(box: ResultBox) -> Box:
    return box.x0, box.y0, box.x1, box.y1


def _true(row: PictureResult) -> NDArray[np.bool_]:
    mask = true_mask(row)
    if mask is None:
        raise UserError(f"{row.uri} has no true mask.")
    return mask


def _predicted(row: PictureResult) -> PredictedMask:
    """Open a predicted mask; the table's pixel count says where its probabilities were cut."""
    values = open_predicted(str(row.predicted_mask_uri), (row.width, row.height))
    reached = np.bincount(values.ravel())[::-1].cumsum()[::-1]
    inside = np.flatnonzero(reached >= max(1, row.predicted_area or 0))
    level = inside[-1] if row.predicted_area and inside.size else reached.size
    if np.unique(values).size <= 2:
        return PredictedMask(values >= level)
    share = np.asarray(values / np.iinfo(values.dtype).max, dtype=np.float32)
    return PredictedMask(values >= level, share)


def _remark(row: PictureResult) -> str:
    parts = []
    if row.predicted_label is not None and row.predicted_label != row.label:
        parts.append(f"called {row.predicted_label}")
    if row.tp is not None and row.fp is not None and row.fn is not None and row.defective:
        union = row.tp + row.fp + row.fn
        parts.append(f"IoU {row.tp / union:.2f}" if union else "")
    boxes = found_boxes(row)
    if boxes is not None:
        parts.append(f"{boxes[0]} of {boxes[1]} boxes found")
    return ", ".join(part for part in parts if part)


def _warnings(runs: Sequence[JudgedRun], rows: Sequence[PictureResult]) -> list[str]:
    """What the numbers leave out, and what they must not be taken for, in sentences."""
    first = runs[0].evaluation
    counts = {
        "pictures are generated: their numbers say nothing about real parts.": sum(
            row.synthetic for row in rows
        ),
        "without label, which count in no ship-or-stop number.": sum(
            row.defective is None and row.decision is not None for row in rows
        ),
        "without known masks count for the decisions only.": 0
        if first.samples is None or first.samples.overall.n_masked == 0
        else first.samples.overall.n_pictures - first.samples.overall.n_masked,
        "labelled defective with an empty mask: the defect's place is unknown.": 0
        if first.samples is None
        else first.samples.overall.n_empty_masks,
        "whose true boxes are unknown are left out of the box numbers.": sum(
            row.true_boxes is None and row.predicted_boxes is not None for row in rows
        ),
        "predicted boxes beyond the 100 surest of their picture and class are not judged.": 0
        if first.boxes is None
        else first.boxes.n_dropped,
    }
    found = [f"{count} {text}" for text, count in counts.items() if count]
    if runs[0].source.maps is not None and len(runs) > 1:
        found.append(
            "Runs are compared by their result tables, whose pixels are binned: differences of "
            "pixel numbers differ in the third decimal from those of the numbers shown."
        )
    return [*found, *_foreign_classes(rows), *_undecided(first.samples is None, rows)]


def _foreign_classes(rows: Sequence[PictureResult]) -> list[str]:
    true = {box.label for row in rows for box in row.true_boxes or ()}
    found = {box.label for row in rows for box in row.predicted_boxes or ()}
    foreign = sorted(str(name) for name in found - true)
    if not true or not foreign:
        return []
    named = ", ".join(foreign[:SHOWN]) + (" and more" if len(foreign) > SHOWN else "")
    return [f"Predicted boxes of classes that no true box has count nowhere: {named}."]


def _undecided(undecided: bool, rows: Sequence[PictureResult]) -> list[str]:
    predicted = any(row.score is not None or row.predicted_boxes is not None for row in rows)
    if not undecided or not predicted or not any(row.defective is False for row in rows):
        return []
    return [
        "No ship-or-stop numbers: nothing says which pictures are stopped. Pass --score_threshold, "
        "chosen on validation pictures, or a decision column in --scores."
    ]
