"""An evaluation in a run's tracker: headline, tables, curves and the worst pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics import Estimate
from millsight.evaluation.metrics.results import Row
from millsight.evaluation.reports import ReportPicture
from millsight.evaluation.results.curves import Curve
from millsight.evaluation.runs.judged import JudgedRun
from millsight.evaluation.runs.written import headline
from millsight.platform.catalog.pictures import PictureError
from millsight.platform.errors import UserError
from millsight.platform.tracking import Overlay, Tracker
from millsight.platform.tracking.values import Cell

TABLES = {
    "maps": "maps_by_category",
    "samples": "samples_by_slice",
    "boxes": "boxes_by_class",
    "classes": "classes_by_class",
}
WORST = 32
LONGEST_SIDE = 512
STEPS = 101
TRUE_COLOR, PREDICTED_COLOR = (255, 255, 255), (255, 61, 242)

Plain = dict[str, Cell]


def log(tracker: Tracker, runs: Sequence[JudgedRun], pictures: Sequence[ReportPicture]) -> None:
    """Hand over the first run's numbers, how the others differ, and what it did worst."""
    first = runs[0]
    tracker.summary(headline(first.evaluation))
    for task, evaluation in first.evaluation.tasks().items():
        rows = [{"name": name, **_flat(row)} for name, row in evaluation.rows().items()]
        tracker.table(TABLES[task], rows)
    confusion = _confusion(first)
    if confusion:
        tracker.table("confusion", confusion)
    differences = [row for run in runs[1:] for row in _differences(run)]
    if differences:
        tracker.table("differences", differences)
    for curve in first.curves:
        tracker.curve(curve.name, _on_one_axis(curve))
    worst = [row for picture in _worst(pictures) if (row := _pictured(picture))]
    if worst:
        tracker.table("worst_pictures", worst)


def _flat(row: Row) -> Plain:
    """Spread estimates over three columns."""
    flat: Plain = {}
    for name, value in row.to_dict().items():
        if isinstance(value, dict):
            ends = {"": "value", "_low": "low", "_high": "high"}
            flat |= {f"{name}{ending}": value[key] for ending, key in ends.items()}
        elif name not in ("name", "category"):
            flat[name] = value  # type: ignore[assignment]
    return flat


def _confusion(run: JudgedRun) -> list[Plain]:
    found = run.evaluation.classes
    if found is None:
        return []
    names = [row.name for row in found.classes]
    return [
        {"true": name, **{f"called {other}": n for other, n in zip(names, line, strict=True)}}
        for name, line in zip(names, found.confusion.tolist(), strict=True)
    ]


def _differences(run: JudgedRun) -> list[Plain]:
    return [
        {"run": run.name, "task": task, "row": row, "metric": metric, **_ends(gap)}
        for task, rows in run.differences.items()
        for row, gaps in rows.items()
        for metric, gap in gaps.items()
        if not np.isnan(gap.value)
    ]


def _ends(number: Estimate) -> Mapping[str, Cell]:
    return {"difference": number.value, "low": number.low, "high": number.high}


def _on_one_axis(curve: Curve) -> dict[str, list[float]]:
    """Lay the lines over one x axis, as a tracker keeps them; nothing is reached beyond a line."""
    if len(curve.series) == 1:
        ((name, (x, y)),) = curve.series.items()
        return {curve.x_label: x, _column(curve, name): y}
    axis = np.linspace(0, max(x[-1] for x, _ in curve.series.values()), STEPS)
    lines = {
        _column(curve, name): np.interp(axis, x, y, right=0.0).tolist()
        for name, (x, y) in curve.series.items()
    }
    return {curve.x_label: axis.tolist(), **lines}


def _column(curve: Curve, name: str) -> str:
    return f"{curve.y_label}: {name}"


def _worst(pictures: Sequence[ReportPicture]) -> list[ReportPicture]:
    wrong = [picture for picture in pictures if picture.loss > 0]
    return sorted(wrong, key=lambda picture: (-picture.loss, picture.uri))[:WORST]


def _pictured(picture: ReportPicture) -> Plain | None:
    """Make a table's row; ``None`` where the picture or a mask cannot be read any more."""
    try:
        overlay = _overlay(picture)
    except (OSError, PictureError, UserError):
        return None
    return {
        "picture": overlay,
        "verdict": picture.verdict,
        "loss": picture.loss,
        "score": picture.score,
        "label": picture.defect,
        "remark": picture.remark,
        "category": picture.category,
        "uri": picture.uri,
    }


def _overlay(source: ReportPicture) -> Overlay:
    whole = source.picture()
    factor = min(1.0, LONGEST_SIDE / max(whole.shape[:2]))
    size = (max(1, round(whole.shape[1] * factor)), max(1, round(whole.shape[0] * factor)))
    picture = np.ascontiguousarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA))
    drawn = ((source.true_boxes, TRUE_COLOR), (source.boxes, PREDICTED_COLOR))
    for boxes, color in drawn:
        for box in boxes:
            x0, y0, x1, y1 = (round(float(edge) * factor) for edge in box)
            cv2.rectangle(picture, (x0, y0), (x1, y1), color, 1)
    masks = {} if source.mask is None else {"truth": _reduced(source.mask(), size)}
    if source.predicted is not None:
        masks["prediction"] = _reduced(source.predicted().mask, size)
    return Overlay(np.asarray(picture, dtype=np.uint8), masks)


def _reduced(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Reduce a mask so that a crack thinner than a pixel stays visible."""
    cover = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cover > 0)
