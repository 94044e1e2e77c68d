"""What judging called classes returns: numbers over all classes, per class, and calibration."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.bootstrap import Estimate, defined
from millsight.evaluation.metrics.ranking import Array
from millsight.evaluation.metrics.results import ALL, BootstrapConfig, Row


@dataclass(frozen=True, slots=True)
class ClassificationMetrics(Row):
    """The numbers over all classes. Undefined is NaN.

    Attributes:
        accuracy: Share of pictures whose class is called.
        mean_class_accuracy: Mean over the classes present in the truth of their recall.
        macro_f1: Mean F1 over the classes present in the truth or among the calls.
        ece: Expected calibration error (Guo et al. 2017, equation 3): over equal-width bins of the
            confidence, sum of (bin's share of the pictures) x abs(its share of right calls - its
            mean confidence). Few pictures in a bin make it too high, and resamples of them still
            higher: the interval may lie above the value.
        brier: Mean of sum_c (p_c - [class is c])^2 (Brier 1950), from 0 to 2; for two classes twice
            the one-sided score.
        n_pictures: Number of pictures.
        n_classes: Classes present in the truth.
        n_calibrated: Pictures with probabilities: those that ``ece`` and ``brier`` count.
    """

    accuracy: Estimate
    mean_class_accuracy: Estimate
    macro_f1: Estimate
    ece: Estimate
    brier: Estimate
    n_pictures: int
    n_classes: int
    n_calibrated: int


@dataclass(frozen=True, slots=True)
class ClassMetrics(Row):
    """The numbers of one class. Undefined is NaN.

    Attributes:
        name: Name of the class.
        precision: Share of the calls of this class that are right.
        recall: Share of the pictures of this class that are called so.
        f1: 2 right / (pictures of this class + calls of this class).
        n_true: Pictures of this class.
        n_called: Calls of this class.
    """

    name: str
    precision: Estimate
    recall: Estimate
    f1: Estimate
    n_true: int
    n_called: int


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityBins:
    """B equal-width bins ``edges[b] < confidence <= edges[b + 1]`` of the called class' confidence.

    Attributes:
        edges: ``(B + 1,)`` from 0 to 1; the first bin holds confidence 0 too.
        counts: ``(B,)`` int64 pictures.
        confidence: ``(B,)`` their mean confidence; NaN in an empty bin.
        accuracy: ``(B,)`` their share of right calls; NaN in an empty bin.
    """

    edges: Array
    counts: NDArray[np.int64]
    confidence: Array
    accuracy: Array

    def to_dict(self) -> dict[str, list[float | None]]:
        """For JSON: NaN as ``None``."""
        columns = {column.name: getattr(self, column.name).tolist() for column in fields(self)}
        return {name: [defined(value) for value in values] for name, values in columns.items()}


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationEvaluation:
    """Classification metrics over all classes and per class.

    Attributes:
        overall: Over all classes.
        classes: One row per class, in the order of the class names.
        confusion: ``(C, C)`` int64 pictures; rows are true classes, columns calls.
        reliability: Bins behind ``ece``.
        bootstrap: How the intervals were drawn.
        truth: Checksum of ids, true classes and class names; see
            :func:`millsight.evaluation.metrics.results.compare`.
    """

    overall: ClassificationMetrics
    classes: tuple[ClassMetrics, ...]
    confusion: NDArray[np.int64]
    reliability: ReliabilityBins
    bootstrap: BootstrapConfig
    truth: int

    def rows(self) -> dict[str, Row]:
        """The numbers over all classes as ``"all"``, and every class as ``"class NAME"``."""
        return {ALL: self.overall, **{f"class {row.name}": row for row in self.classes}}

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "overall": self.overall.to_dict(),
            "classes": [row.to_dict() for row in self.classes],
            "confusion": self.confusion.tolist(),
            "reliability": self.reliability.to_dict(),
        }
