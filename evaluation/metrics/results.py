"""What an evaluation returns: rows of estimates, and the paired difference of two evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from millsight.evaluation.metrics.bootstrap import Estimate, defined
from millsight.evaluation.metrics.ranking import Array

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro")
METRICS = IMAGE_METRICS + PIXEL_METRICS
MEAN = "mean"
ALL = "all"


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """How intervals are drawn.

    Attributes:
        n_resamples: Number of resamples; 0 draws none and leaves the intervals NaN.
        confidence: Share of the resamples inside an interval.
        seed: Equal seeds over equal pictures give paired resamples.
    """

    n_resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row of numbers: its metrics are fields of type :class:`Estimate`.

    Attributes:
        replicates: Per metric ``(R,)`` float64, its value on every resample.
    """

    replicates: dict[str, Array] = field(repr=False, compare=False, kw_only=True)

    def to_dict(self) -> dict[str, object]:
        """For JSON: estimates as dicts, NaN as ``None``, replicates left out."""
        row: dict[str, object] = {}
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, Estimate):
                row[column.name] = value.to_dict()
            elif isinstance(value, int | float):
                row[column.name] = defined(value)
            elif isinstance(value, str):
                row[column.name] = value
        return row

    def minus(self, other: Row, confidence: float) -> dict[str, Estimate]:
        """Paired difference of every metric; both must have been resampled alike."""
        gaps = {}
        for name, drawn in self.replicates.items():
            ours, theirs = getattr(self, name), getattr(other, name)
            gap, n = ours.value - theirs.value, min(ours.n, theirs.n)
            gaps[name] = Estimate.of(gap, drawn - other.replicates[name], confidence, n)
        return gaps


class Evaluation(Protocol):
    """What :func:`compare` needs of a result."""

    @property
    def bootstrap(self) -> BootstrapConfig:
        """How the intervals were drawn."""

    @property
    def truth(self) -> int:
        """Checksum of all that two runs must share: equal for runs over the same pictures."""

    def rows(self) -> Mapping[str, Row]:
        """The result's rows by name."""


@dataclass(frozen=True, slots=True)
class MapMetrics(Row):
    """The numbers of one category, or their mean over categories. Undefined is NaN.

    Attributes:
        category: Name of the category; ``"mean"`` for the mean.
        image_auroc: Area under the ROC curve of the picture scores.
        image_ap: Average precision of the picture scores.
        image_f1_max: Highest F1 of the picture scores.
        pixel_auroc: Area under the ROC curve of all pixels.
        pixel_ap: Average precision of all pixels.
        pixel_f1_max: Highest F1 of all pixels.
        aupro: Area under the per-region overlap curve up to the false-positive limit.
        image_threshold: Score that gives ``image_f1_max``; NaN for a mean.
        pixel_threshold: Map value that gives ``pixel_f1_max``; NaN for a mean.
        n_pictures: Pictures with a label.
        n_defective: Of these, defective ones.
        n_unlabelled: Pictures without a label, which count nowhere else.
        n_masked: Labelled pictures whose pixels count: normal ones, and defective ones with mask.
        n_empty_masks: Defective pictures with a mask that marks nothing.
        n_regions: 8-connected true regions.
        n_pixels: Pixels counted.
        quantisation_error: Largest difference between a pixel metric and its value from the
            histograms that the intervals are drawn from. Intervals are shifted by it.
    """

    category: str
    image_auroc: Estimate
    image_ap: Estimate
    image_f1_max: Estimate
    pixel_auroc: Estimate
    pixel_ap: Estimate
    pixel_f1_max: Estimate
    aupro: Estimate
    image_threshold: float
    pixel_threshold: float
    n_pictures: int
    n_defective: int
    n_unlabelled: int
    n_masked: int
    n_empty_masks: int
    n_regions: int
    n_pixels: int
    quantisation_error: float


@dataclass(frozen=True, slots=True)
class MapEvaluation:
    """Metrics of every category and their mean.

    Attributes:
        categories: One entry per category, by name.
        mean: Mean over the categories where a metric is defined, resampled within each category.
        bootstrap: How the intervals were drawn.
        truth: Checksum of categories and labels: equal for two runs over the same pictures.
    """

    categories: tuple[MapMetrics, ...]
    mean: MapMetrics
    bootstrap: BootstrapConfig
    truth: int

    def rows(self) -> dict[str, MapMetrics]:
        """Every category by name, and the mean as ``"mean"``."""
        return {row.category: row for row in (*self.categories, self.mean)}

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        rows = [metrics.to_dict() for metrics in self.categories]
        return {"categories": rows, "mean": self.mean.to_dict()}


def estimates(
    values: Mapping[str, float],
    replicates: Mapping[str, Array],
    counts: Mapping[str, int],
    config: BootstrapConfig,
) -> dict[str, Any]:
    """Put intervals to values: metric name to :class:`Estimate`, for a row's constructor.

    Args:
        values: Per metric, on the pictures as they are.
        replicates: Per metric ``(R,)``, on every resample.
        counts: Per metric, number of pictures it was computed from.
        config: States the confidence.
    """
    return {
        name: Estimate.of(value, replicates[name], config.confidence, counts[name])
        for name, value in values.items()
    }


def compare(first: Evaluation, second: Evaluation) -> dict[str, dict[str, Estimate]]:
    """Paired difference ``first - second`` of every metric.

    Returns:
        Row name (a category and ``"mean"`` for maps) to metric name to difference with interval.

    Raises:
        ValueError: If the runs judged different pictures or were resampled differently.
    """
    if first.truth != second.truth or first.bootstrap != second.bootstrap:
        raise ValueError("only runs over the same pictures, resampled alike, can be paired")
    others, confidence = second.rows(), first.bootstrap.confidence
    return {name: row.minus(others[name], confidence) for name, row in first.rows().items()}
