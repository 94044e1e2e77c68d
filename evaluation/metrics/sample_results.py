"""What judging pictures one by one returns: ship or stop, and was the defect found."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import betaincinv

from millsight.evaluation.metrics.bootstrap import Estimate
from millsight.evaluation.metrics.results import BootstrapConfig, Row


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """What a wrong decision costs, in any one currency.

    Attributes:
        escape: A defective part that is shipped.
        overkill: A good part that is stopped.
        prevalence: Share of defective parts on the line, in [0, 1]. Test sets hold far more defects
            than a line makes; ``None`` takes the pictures' own share all the same.
    """

    escape: float
    overkill: float
    prevalence: float | None = None


@dataclass(frozen=True, slots=True)
class SampleMetrics(Row):
    """The sample-centric numbers of all pictures or of one slice. Undefined is NaN.

    y: the truth has a defect; d: the picture is called defective; P, G: predicted and true mask;
    I = |P and G|, U = |P or G|. Every estimate's ``n`` is the number of pictures in its
    denominator. The mask metrics count pictures whose masks are known; those from ``seg_miou`` on
    leave out defective pictures whose true mask is empty, for their defect's place is unknown.

    Attributes:
        name: Name of the slice; ``"all"`` for all pictures.
        pooled_miou: sum I / sum U.
        sample_miou: Mean of I / U; two empty masks count 1.
        seg_miou: Mean over {y or d} of (I / U if y and d else 0): true negatives leave, misses and
            false alarms cost 0.
        seg_recall: #{y, d, I > 0} / #{y}.
        seg_recall_10: #{y, d, I / U > 0.1} / #{y}.
        seg_recall_30: #{y, d, I / U > 0.3} / #{y}.
        seg_recall_50: #{y, d, I / U > 0.5} / #{y}.
        seg_recall_area: Mean over {y} of (I / abs(G) if d else 0).
        sample_precision: #{y, d} / #{d}.
        sample_recall: #{y, d} / #{y}.
        sample_f1: 2 #{y, d} / (#{y} + #{d}).
        sample_fpr: #{not y, d} / #{not y}, the false-positive rate.
        escape_rate: #{y, not d} / #{y}, the share of defective parts shipped: 1 - sample_recall.
        overkill_rate: The share of good parts stopped: the quality engineer's word for sample_fpr.
        cost: Mean cost per part at the stated unit costs; NaN where none are stated.
        escape_bound: One-sided upper Clopper-Pearson bound of ``escape_rate`` at the bootstrap's
            confidence. Where nothing escaped, resampling sees no spread and its interval is
            [0, 0]; 0 of 20 still allows 14 % at 95 % confidence.
        overkill_bound: The same for ``overkill_rate``.
        n_pictures: Number of pictures.
        n_defective: Of these, defective ones.
        n_caught: #{y, d}.
        n_escaped: #{y, not d}.
        n_false_alarms: #{not y, d}.
        n_passed: #{not y, not d}.
        n_masked: Pictures whose masks are known; in a slice defective ones only.
        n_empty_masks: Of these, defective ones whose true mask marks nothing.
    """

    name: str
    pooled_miou: Estimate
    sample_miou: Estimate
    seg_miou: Estimate
    seg_recall: Estimate
    seg_recall_10: Estimate
    seg_recall_30: Estimate
    seg_recall_50: Estimate
    seg_recall_area: Estimate
    sample_precision: Estimate
    sample_recall: Estimate
    sample_f1: Estimate
    sample_fpr: Estimate
    escape_rate: Estimate
    overkill_rate: Estimate
    cost: Estimate
    escape_bound: float
    overkill_bound: float
    n_pictures: int
    n_defective: int
    n_caught: int
    n_escaped: int
    n_false_alarms: int
    n_passed: int
    n_masked: int
    n_empty_masks: int


@dataclass(frozen=True, slots=True)
class SampleEvaluation:
    """Sample-centric metrics of all pictures and of every slice.

    Attributes:
        overall: All pictures.
        slices: One row per slice, in the order given.
        costs: The unit costs behind ``cost``.
        bootstrap: How the intervals were drawn.
        truth: Checksum of ids, labels, slices and unit costs; see
            :func:`millsight.evaluation.metrics.results.compare`.
    """

    overall: SampleMetrics
    slices: tuple[SampleMetrics, ...]
    costs: UnitCosts | None
    bootstrap: BootstrapConfig
    truth: int

    def rows(self) -> dict[str, SampleMetrics]:
        """All pictures as ``"all"``, and every slice by name."""
        return {row.name: row for row in (self.overall, *self.slices)}

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        slices = [row.to_dict() for row in self.slices]
        return {"overall": self.overall.to_dict(), "slices": slices}


def upper_bound(events: int, n: int, confidence: float) -> float:
    """One-sided upper Clopper-Pearson bound of a rate; NaN where ``n`` is 0."""
    if events == n:
        return 1.0 if n else float("nan")
    return float(betaincinv(events + 1, n - events, confidence))
