"""Every task that a result table holds, judged at once; two runs over one set, compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from millsight.evaluation.metrics import (
    BootstrapConfig,
    ClassificationEvaluation,
    DetectionEvaluation,
    Estimate,
    MapEvaluation,
    SampleEvaluation,
    UnitCosts,
)
from millsight.evaluation.metrics.results import Evaluation, Row
from millsight.evaluation.results.curves import Curve, result_curves
from millsight.evaluation.results.judging import judge_boxes, judge_classes, judge_samples
from millsight.evaluation.results.judging_maps import judge_maps
from millsight.evaluation.results.table import from_table, without_histograms
from millsight.evaluation.results.verdicts import picture_loss, picture_verdict
from millsight.platform.errors import UserError

__all__ = [
    "HEADLINE",
    "Curve",
    "ResultEvaluation",
    "compare_results",
    "evaluate_results",
    "picture_loss",
    "picture_verdict",
    "result_curves",
]

HEADLINE: Mapping[str, tuple[str, ...]] = {
    "maps": ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro"),
    "samples": (
        *("seg_miou", "seg_recall", "sample_precision", "sample_recall", "sample_f1"),
        *("escape_rate", "overkill_rate", "cost", "pooled_miou"),
    ),
    "boxes": ("map_50", "map_50_95", "ar_100"),
    "classes": ("accuracy", "mean_class_accuracy", "macro_f1", "ece", "brier"),
}
MAIN_ROW = {"maps": "mean", "samples": "all", "boxes": "all", "classes": "all"}


@dataclass(frozen=True, slots=True)
class ResultEvaluation:
    """What a result table holds, judged; a task without truth or prediction is ``None``.

    Attributes:
        maps: Scores and anomaly maps: ranking, per category and in the mean.
        samples: Decisions and masks: ship or stop, and was the defect found.
        boxes: Predicted boxes.
        classes: Predicted classes.
    """

    maps: MapEvaluation | None = None
    samples: SampleEvaluation | None = None
    boxes: DetectionEvaluation | None = None
    classes: ClassificationEvaluation | None = None

    def tasks(self) -> dict[str, Evaluation]:
        """Return the tasks that are present, by name, in the order above."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: evaluation for name, evaluation in found.items() if evaluation is not None}

    def main_rows(self) -> dict[str, Row]:
        """Return each task's row over everything."""
        return {name: task.rows()[MAIN_ROW[name]] for name, task in self.tasks().items()}

    def headline(self) -> dict[str, Estimate]:
        """Return the few numbers that people look at; undefined ones are left out."""
        numbers = {
            name: getattr(row, name)
            for task, row in self.main_rows().items()
            for name in HEADLINE[task]
        }
        return {name: number for name, number in numbers.items() if not math.isnan(number.value)}

    def to_dict(self) -> dict[str, object]:
        """For JSON: what each task's own ``to_dict`` says, by task."""
        return {name: getattr(self, name).to_dict() for name in self.tasks()}


def evaluate_results(
    table: pa.Table,
    *,
    costs: UnitCosts | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> ResultEvaluation:
    """Judge every task that a table holds.

    Args:
        table: A result table; see :func:`millsight.evaluation.results.read_table`.
        costs: Unit costs; without them ``cost`` is undefined.
        bootstrap: How intervals are drawn.
    """
    # Without the histograms, by far the largest column, rows are unpacked in a quarter of the time.
    rows = list(from_table(without_histograms(table)))
    return ResultEvaluation(
        maps=judge_maps(table, bootstrap=bootstrap),
        samples=judge_samples(rows, costs=costs, bootstrap=bootstrap),
        boxes=judge_boxes(rows, bootstrap=bootstrap),
        classes=judge_classes(rows, bootstrap=bootstrap),
    )


def compare_results(
    first: ResultEvaluation, second: ResultEvaluation
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Paired difference ``first - second`` of every metric of the tasks that both have.

    Returns:
        Task to row (a category, slice, class or size; see each task's ``rows``) to metric to
        difference with interval. Rows that one run lacks, such as a class that only the other one
        called, are left out.

    Raises:
        UserError: If a task's pictures, truth, unit costs or resamples differ.
    """
    ours, theirs = first.tasks(), second.tasks()
    return {name: _differences(name, ours[name], theirs[name]) for name in ours if name in theirs}


def _differences(
    task: str, first: Evaluation, second: Evaluation
) -> dict[str, dict[str, Estimate]]:
    if first.bootstrap != second.bootstrap:
        raise UserError(f"{task}: runs are compared only if their intervals are drawn alike.")
    if first.truth != second.truth:
        raise UserError(
            f"{task}: the runs were judged on different pictures or another truth, so that no "
            "difference says anything. Evaluate both on the same --data and --split."
        )
    others, confidence = second.rows(), first.bootstrap.confidence
    return {
        name: _same_pictures(row, others[name], row.minus(others[name], confidence))
        for name, row in first.rows().items()
        if name in others
    }


def _same_pictures(first: Row, second: Row, gaps: dict[str, Estimate]) -> dict[str, Estimate]:
    """Leave out pixel numbers of maps that one run has for fewer pictures than the other."""
    ours, theirs = (getattr(row, "n_pixels", 0) for row in (first, second))
    if ours == theirs:
        return gaps
    return {name: gap for name, gap in gaps.items() if name.startswith("image_")}
