"""What judging anomaly maps returns: one entry per category, their mean, paired differences."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from millsight.evaluation.metrics.bootstrap import Estimate, defined
from millsight.evaluation.metrics.ranking import Array

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro")
METRICS = IMAGE_METRICS + PIXEL_METRICS
MEAN = "mean"


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
class MapMetrics:
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
        replicates: Per metric ``(R,)`` float64, its value on every resample.
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
    replicates: dict[str, Array] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, object]:
        """For JSON: estimates as dicts, NaN as ``None``, replicates left out."""
        row: dict[str, object] = {"category": self.category}
        for column in fields(self):
            number = getattr(self, column.name)
            if isinstance(number, Estimate):
                row[column.name] = number.to_dict()
            elif isinstance(number, int | float):
                row[column.name] = defined(number)
        return row


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

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        rows = [metrics.to_dict() for metrics in self.categories]
        return {"categories": rows, "mean": self.mean.to_dict()}


def compare(first: MapEvaluation, second: MapEvaluation) -> dict[str, dict[str, Estimate]]:
    """Paired difference ``first - second`` of every metric.

    Returns:
        Category name (and ``"mean"``) to metric name to difference with interval.

    Raises:
        ValueError: If the runs judged different pictures or were resampled differently.
    """
    if first.truth != second.truth or first.bootstrap != second.bootstrap:
        raise ValueError("only runs over the same pictures, resampled alike, can be paired")
    pairs = zip((*first.categories, first.mean), (*second.categories, second.mean), strict=True)
    return {a.category: _differences(a, b, first.bootstrap.confidence) for a, b in pairs}


def _differences(a: MapMetrics, b: MapMetrics, confidence: float) -> dict[str, Estimate]:
    found = {}
    for name in METRICS:
        ours, theirs = getattr(a, name), getattr(b, name)
        replicates = a.replicates[name] - b.replicates[name]
        gap = ours.value - theirs.value
        found[name] = Estimate.of(gap, replicates, confidence, min(ours.n, theirs.n))
    return found
