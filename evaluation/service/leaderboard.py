"""Who is ahead, and by how much: runs of one dataset in order, and two runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from millsight.evaluation.metrics import Estimate
from millsight.evaluation.metrics.results import Evaluation, Row
from millsight.evaluation.results.evaluating import HEADLINE, compare_results
from millsight.evaluation.service import picture_table
from millsight.evaluation.service.runs import Run
from millsight.evaluation.service.stored_evaluation import load_evaluation
from millsight.platform.errors import UserError

LOWER_IS_BETTER = frozenset({"escape_rate", "overkill_rate", "cost", "ece"})
TITLES = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "aupro": "AUPRO",
    "seg_miou": "Seg_mIoU",
    "seg_recall": "Seg_Recall",
    "sample_f1": "Sample F1",
    "escape_rate": "Escape rate",
    "overkill_rate": "Over-kill rate",
    "pooled_miou": "Pooled mIoU",
    "map_50": "mAP@.5",
    "map_50_95": "mAP@.5:.95",
    "ar_100": "AR@100",
    "macro_f1": "Macro F1",
    "ece": "Calibration error",
}
PREFERRED = ("sample_f1", "image_auroc", "map_50_95", "accuracy")
COUNTS = """
SELECT coalesce(sum(a AND NOT b), 0), coalesce(sum(b AND NOT a), 0), coalesce(sum(a AND b), 0),
    coalesce(sum(NOT a AND NOT b), 0), count(*)
FROM (
    SELECT one.verdict IN ('caught', 'passed') AS a, two.verdict IN ('caught', 'passed') AS b
    FROM main.pictures AS one JOIN other.pictures AS two USING (sample_id)
    WHERE one.verdict IS NOT NULL AND two.verdict IS NOT NULL
)
"""
Differences = dict[str, dict[str, dict[str, Estimate]]]


def title(metric: str) -> str:
    """Return a metric's name for people."""
    return TITLES.get(metric, metric.replace("_", " ").capitalize())


def metrics_of(runs: Sequence[Run]) -> list[str]:
    """Return the metrics that some run has, in the order of headlines."""
    present = {name for run in runs for name in run.headline}
    return [name for names in HEADLINE.values() for name in names if name in present]


def default_metric(names: Sequence[str]) -> str | None:
    """Return the metric to show where none is asked for."""
    return next((name for name in PREFERRED if name in names), next(iter(names), None))


def ranked(runs: Sequence[Run], metric: str) -> list[tuple[int, Run]]:
    """Order runs by a metric, the best first; equal values share a rank, the earlier run leads."""
    sign = 1 if metric in LOWER_IS_BETTER else -1
    keys = {run.id: sign * float(run.headline[metric]["value"] or 0.0) for run in runs}
    ordered = sorted(runs, key=lambda run: (keys[run.id], run.seq))
    values = [keys[run.id] for run in ordered]
    return [(values.index(keys[run.id]) + 1, run) for run in ordered]


@lru_cache(maxsize=4096)
def behind(run: Path, best: Path, metric: str) -> Estimate | None:
    """Return a run's paired difference to the best one; ``None`` where pictures differ."""
    task = next(task for task, names in HEADLINE.items() if metric in names)
    (ours, row), (theirs, first_row) = _main_row(run, task), _main_row(best, task)
    if (ours.truth, ours.bootstrap) != (theirs.truth, theirs.bootstrap):
        return None
    return row.minus(first_row, ours.bootstrap.confidence)[metric]


@lru_cache(maxsize=256)
def _main_row(run: Path, task: str) -> tuple[Evaluation, Row]:
    evaluation = load_evaluation(run)
    return evaluation.tasks()[task], evaluation.main_rows()[task]


@lru_cache(maxsize=256)
def differences(first: Path, second: Path) -> Differences:
    """Return the paired differences of everything that two runs have; cached, so leave it be.

    Raises:
        UserError: If they were judged on different pictures.
    """
    found = compare_results(load_evaluation(first), load_evaluation(second))
    if not found:
        raise UserError("The two runs have no task in common, so that nothing can be compared.")
    return found


def count_right(first: Path, second: Path) -> dict[str, int] | None:
    """Count the pictures that one, both or neither run decides rightly."""
    with picture_table.reading(first, second) as database:
        *counts, total = database.execute(COUNTS).fetchone()
    names = ("only_first_right", "only_second_right", "both_right", "both_wrong")
    return dict(zip(names, counts, strict=True)) if total else None
