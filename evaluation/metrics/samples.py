"""Sample-centric metrics (arXiv 2510.13226): would the line ship or stop each part, and why.

Every metric is a ratio of sums over pictures. A resample is a row of weights, so all metrics of all
slices and resamples come from one matrix product, and shards merge by concatenation.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.bootstrap import replicate
from millsight.evaluation.metrics.picture_counts import PictureCounts
from millsight.evaluation.metrics.ranking import Array, ratio
from millsight.evaluation.metrics.results import ALL, BootstrapConfig, estimates
from millsight.evaluation.metrics.sample_results import (
    SampleEvaluation,
    SampleMetrics,
    UnitCosts,
    upper_bound,
)

Terms = dict[str, Array]


def evaluate_samples(
    counts: PictureCounts,
    *,
    slices: Mapping[str, NDArray[np.bool_]] | None = None,
    costs: UnitCosts | None = None,
    ids: Sequence[str] | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> SampleEvaluation:
    """Compute every sample-centric metric, over all pictures and per slice, with intervals.

    A slice is made of defective pictures. For the decisions (precision, F1, false-positive and
    over-kill rate, cost) every slice also holds all good pictures: a false alarm has no true size,
    and the line would raise it whichever defects it makes. For the mask metrics a slice holds none
    of them, or the Seg_mIoU of a rare kind of defect would measure how many false alarms share its
    mean. Precision, F1 and cost of a slice therefore depend on how many defects it holds;
    the rates, Seg_mIoU and Seg_Recall can be compared across slices.

    Args:
        counts: The pictures, N of them.
        slices: Name to ``(N,)`` bool; good pictures in it are ignored. See
            :func:`millsight.evaluation.metrics.picture_counts.bin_slices`.
        costs: Unit costs; without them ``cost`` is undefined.
        ids: ``(N,)`` names of the pictures, so that only runs over the same ones can be compared.
        bootstrap: How intervals are drawn: all slices see the same resamples of the N pictures.
    """
    config, groups = bootstrap or BootstrapConfig(), dict(slices or {})
    terms = _terms(counts, groups)
    shape = (len(groups) + 1, len(terms.names))

    def sums(weights: NDArray[np.float32]) -> Terms:
        added = (weights.astype(np.float64) @ terms.columns).reshape(len(weights), *shape)
        return dict(zip(terms.names, np.moveaxis(added, -1, 0), strict=True))

    n_pictures = counts.y.size
    whole = sums(np.ones((1, n_pictures), dtype=np.float32))
    replicates = replicate(
        lambda weights: _metrics(sums(weights), costs), n_pictures, config.n_resamples, config.seed
    )
    rows = [
        _row(name, _at(whole, (0, s)), costs, _at(replicates, (slice(None), s)), config)
        for s, name in enumerate((ALL, *groups))
    ]
    named = ids if ids is None else [str(name) for name in ids]
    shared = (named, counts.y.tolist(), [(k, v.tolist()) for k, v in groups.items()], costs)
    truth = zlib.crc32(repr(shared).encode(errors="replace"))
    return SampleEvaluation(rows[0], tuple(rows[1:]), costs, config, truth)


def _at(values: Mapping[str, Array], index: tuple[int | slice, int]) -> Terms:
    return {name: value[index] for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is added up over pictures: ``(N, S * K)`` for S slices and the K names."""

    names: tuple[str, ...]
    columns: Array


def _terms(counts: PictureCounts, slices: Mapping[str, NDArray[np.bool_]]) -> _Columns:
    seen, decided = _mask_terms(counts), _decision_terms(counts)
    everyone = np.ones(counts.y.size, dtype=bool)
    inside = np.stack([everyone, *(chosen & counts.y for chosen in slices.values())], axis=1)
    parts = [
        member[:, :, None] * np.stack(list(part.values()), axis=1)[:, None, :]
        for member, part in ((inside, seen), (inside | ~counts.y[:, None], decided))
    ]
    columns = np.concatenate(parts, axis=2).astype(np.float64)
    n_columns = columns.shape[1] * columns.shape[2]
    return _Columns((*seen, *decided), columns.reshape(counts.y.size, n_columns))


def _decision_terms(counts: PictureCounts) -> Terms:
    y, d = counts.y, counts.d
    parts = {"caught": y & d, "escaped": y & ~d, "false_alarm": ~y & d, "passed": ~y & ~d}
    return {name: part.astype(np.float64) for name, part in parts.items()}


def _mask_terms(counts: PictureCounts) -> Terms:
    union, true = counts.tp + counts.fp + counts.fn, counts.tp + counts.fn
    # Counts of unknown masks are zero and must not pass for two empty masks.
    iou = ratio(counts.tp.astype(np.float64), union.astype(np.float64))
    outlined = counts.masked & counts.y & (true > 0)
    found = outlined & counts.d
    hits = {"hit": counts.tp > 0, "hit_10": iou > 0.1, "hit_30": iou > 0.3, "hit_50": iou > 0.5}
    parts = {
        "intersection": counts.tp,
        "union": union,
        "masked": counts.masked,
        "any_iou": counts.masked * np.where(union > 0, iou, 1.0),
        "found_iou": np.where(found, iou, 0.0),
        "judged": outlined | (counts.masked & ~counts.y & counts.d),
        "outlined": outlined,
        "found_area": np.where(found, counts.tp / np.maximum(true, 1), 0.0),
        "empty_mask": counts.masked & counts.y & (true == 0),
        **{name: found & hit for name, hit in hits.items()},
    }
    return {name: np.asarray(part, dtype=np.float64) for name, part in parts.items()}


def _fractions(s: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """Numerator and denominator of every metric but the cost."""
    defective, good = s["caught"] + s["escaped"], s["false_alarm"] + s["passed"]
    called = s["caught"] + s["false_alarm"]
    return {
        "pooled_miou": (s["intersection"], s["union"]),
        "sample_miou": (s["any_iou"], s["masked"]),
        "seg_miou": (s["found_iou"], s["judged"]),
        "seg_recall": (s["hit"], s["outlined"]),
        "seg_recall_10": (s["hit_10"], s["outlined"]),
        "seg_recall_30": (s["hit_30"], s["outlined"]),
        "seg_recall_50": (s["hit_50"], s["outlined"]),
        "seg_recall_area": (s["found_area"], s["outlined"]),
        "sample_precision": (s["caught"], called),
        "sample_recall": (s["caught"], defective),
        "sample_f1": (2 * s["caught"], defective + called),
        "sample_fpr": (s["false_alarm"], good),
        "escape_rate": (s["escaped"], defective),
        "overkill_rate": (s["false_alarm"], good),
    }


def _metrics(s: Mapping[str, Array], costs: UnitCosts | None) -> Terms:
    values = {name: ratio(*fraction) for name, fraction in _fractions(s).items()}
    if costs is None:
        return values | {"cost": np.full_like(values["escape_rate"], np.nan)}
    if costs.prevalence is None:
        spent = costs.escape * s["escaped"] + costs.overkill * s["false_alarm"]
        return values | {"cost": ratio(spent, _n_pictures(s))}
    shipped = costs.prevalence * costs.escape * values["escape_rate"]
    stopped = (1 - costs.prevalence) * costs.overkill * values["overkill_rate"]
    return values | {"cost": shipped + stopped}


def _n_pictures(s: Mapping[str, Array]) -> Array:
    return s["caught"] + s["escaped"] + s["false_alarm"] + s["passed"]


def _row(
    name: str,
    whole: Mapping[str, Array],
    costs: UnitCosts | None,
    replicates: dict[str, Array],
    config: BootstrapConfig,
) -> SampleMetrics:
    n = {term: int(total) for term, total in whole.items()}
    n_defective, n_pictures = n["caught"] + n["escaped"], int(_n_pictures(whole))
    counts = {metric: int(below) for metric, (_, below) in _fractions(whole).items()} | {
        "pooled_miou": n["masked"],
        "sample_f1": n_defective + n["false_alarm"],
        "cost": n_pictures,
    }
    values = {metric: float(value) for metric, value in _metrics(whole, costs).items()}
    return SampleMetrics(
        name,
        **estimates(values, replicates, counts, config),
        escape_bound=upper_bound(n["escaped"], n_defective, config.confidence),
        overkill_bound=upper_bound(
            n["false_alarm"], n["false_alarm"] + n["passed"], config.confidence
        ),
        n_pictures=n_pictures,
        n_defective=n_defective,
        n_caught=n["caught"],
        n_escaped=n["escaped"],
        n_false_alarms=n["false_alarm"],
        n_passed=n["passed"],
        n_masked=n["masked"],
        n_empty_masks=n["empty_mask"],
        replicates=replicates,
    )
