"""What each kind of finetuning is judged by, from its result table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from millsight.evaluation.metrics.results import BootstrapConfig, Row
from millsight.evaluation.results import table as tables
from millsight.evaluation.results.judging import judge_boxes, judge_classes, judge_samples
from millsight.evaluation.results.row import PictureResult
from millsight.platform.artifacts import Artifact
from millsight.platform.errors import UserError

Rows = Sequence[PictureResult]


@dataclass(frozen=True)
class Judged:
    """How a result table is judged.

    Attributes:
        metrics: Headings of the metrics that a table shows, by name; the first one decides.
        rows: Judges rows; ``None`` where none of them can be judged.
        needs: What a picture must have to be judged.
    """

    metrics: Mapping[str, str]
    rows: Callable[[Rows, BootstrapConfig | None], Row | None]
    needs: str


def judge_run(run: Artifact, judged: Judged, bootstrap: BootstrapConfig | None = None) -> Row:
    """Judge the predictions of one finetuning over all classes.

    Raises:
        UserError: If no predicted picture can be judged.
    """
    rows = list(tables.from_table(tables.read_table(run.file(tables.FILE))))
    found = judged.rows(rows, bootstrap)
    if found is None:
        raise UserError(
            f"{run.path}: no predicted picture has {judged.needs}, so none can be judged."
        )
    return found


def _boxes(rows: Rows, bootstrap: BootstrapConfig | None) -> Row | None:
    found = judge_boxes(rows, bootstrap=bootstrap)
    return None if found is None else found.all


def _classes(rows: Rows, bootstrap: BootstrapConfig | None) -> Row | None:
    found = judge_classes(rows, bootstrap=bootstrap)
    return None if found is None else found.overall


def _samples(rows: Rows, bootstrap: BootstrapConfig | None) -> Row | None:
    found = judge_samples(rows, bootstrap=bootstrap)
    return None if found is None else found.overall


DETECTION = Judged({"map_50": "mAP@.5", "map_50_95": "mAP@.5:.95"}, _boxes, "known boxes")
CLASSIFICATION = Judged({"macro_f1": "macro F1", "accuracy": "accuracy"}, _classes, "a known class")
MULTITASK = Judged(
    {"seg_miou": "Seg_mIoU", "sample_f1": "sample F1"}, _samples, "a known label and a decision"
)
