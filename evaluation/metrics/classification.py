"""Classification metrics: which defect is it, and does the stated probability hold.

As in :mod:`millsight.evaluation.metrics.samples`, every number is made of sums over pictures, so
resamples are rows of weights and shards merge by concatenation.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millsight.evaluation.metrics.bootstrap import replicate
from millsight.evaluation.metrics.classification_results import (
    ClassificationEvaluation,
    ClassificationMetrics,
    ClassMetrics,
    ReliabilityBins,
)
from millsight.evaluation.metrics.ranking import Array, ratio
from millsight.evaluation.metrics.results import BootstrapConfig, estimates

N_BINS = 15

Sums = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class _Calls:
    """The pictures: ``(N,)`` true and called classes, ``(N, C)`` probabilities or NaN rows."""

    true: NDArray[np.int64]
    called: NDArray[np.int64]
    probabilities: Array
    n_bins: int

    def terms(self) -> dict[str, Array]:
        """What is added up over pictures: name to ``(N, ...)``."""
        true, called = self._one_hot(self.true), self._one_hot(self.called)
        right = (self.true == self.called).astype(np.float64)
        known = np.asarray(np.isfinite(self.probabilities).all(axis=1))
        stated = np.where(known[:, None], self.probabilities, 0.0)
        confidence = np.take_along_axis(stated, self.called[:, None], axis=1)[:, 0]
        bins = np.maximum(np.searchsorted(_edges(self.n_bins)[:-1], confidence) - 1, 0)
        binned = np.eye(self.n_bins)[bins] * known[:, None]
        return {
            "hits": true * right[:, None],
            "true": true,
            "called": called,
            "right": right[:, None],
            "pictures": np.ones((right.size, 1)),
            "squares": (((stated - true) ** 2).sum(axis=1) * known)[:, None],
            "calibrated": known[:, None].astype(np.float64),
            "bin_counts": binned,
            "bin_right": binned * right[:, None],
            "bin_confidence": binned * confidence[:, None],
        }

    def _one_hot(self, classes: NDArray[np.int64]) -> Array:
        return np.eye(self.probabilities.shape[1])[classes]


def evaluate_classes(
    true: ArrayLike,
    called: ArrayLike,
    class_names: Sequence[str],
    *,
    probabilities: ArrayLike | None = None,
    n_bins: int = N_BINS,
    ids: Sequence[str] | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> ClassificationEvaluation:
    """Compute every classification metric, over all classes and per class, with intervals.

    Args:
        true: ``(N,)`` true class of each picture, an index into ``class_names``.
        called: ``(N,)`` the class it is called.
        class_names: C names; a class without pictures and calls counts in no mean.
        probabilities: ``(N, C)``, rows adding up to 1; a row with NaN is unknown. The confidence of
            a call is the probability of the class called.
        n_bins: Number of reliability bins.
        ids: ``(N,)`` names of the pictures, so that only runs over the same ones can be compared.
        bootstrap: How intervals are drawn.

    Raises:
        ValueError: If a class is no index into ``class_names`` or the lengths differ.
    """
    config, n_classes = bootstrap or BootstrapConfig(), len(class_names)
    pair = np.stack([np.asarray(column, dtype=np.int64) for column in (true, called)])
    if ((pair < 0) | (pair >= n_classes)).any():
        raise ValueError(f"classes must lie between 0 and {n_classes - 1}")
    shape = (pair.shape[1], n_classes)
    stated = np.full(shape, np.nan) if probabilities is None else np.asarray(probabilities, float)
    if stated.shape != shape:
        raise ValueError(f"probabilities have shape {stated.shape}, expected {shape}")
    terms = _Calls(pair[0], pair[1], stated, n_bins).terms()

    def sums(weights: NDArray[np.float32]) -> dict[str, Array]:
        drawn = weights.astype(np.float64)
        return {name: drawn @ term for name, term in terms.items()}

    whole = {name: total[0] for name, total in sums(np.ones((1, shape[0]), np.float32)).items()}
    replicates = replicate(
        lambda weights: _metrics(sums(weights)), shape[0], config.n_resamples, config.seed
    )
    named = ids if ids is None else [str(name) for name in ids]
    shared = (named, pair[0].tolist(), list(class_names))
    truth = zlib.crc32(repr(shared).encode(errors="replace"))
    return ClassificationEvaluation(
        _overall_row(whole, replicates, config),
        tuple(_class_row(c, n, whole, replicates, config) for c, n in enumerate(class_names)),
        _confusion(pair, n_classes),
        _reliability(whole),
        config,
        truth,
    )


def _confusion(pair: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    flat = np.bincount(pair[0] * n_classes + pair[1], minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes)


def _edges(n_bins: int) -> Array:
    return np.linspace(0, 1, n_bins + 1)


def _metrics(s: Sums) -> dict[str, Array]:
    return _overall(s) | _per_class(s)


def _per_class(s: Sums) -> dict[str, Array]:
    """``(..., C)`` values."""
    return {
        "precision": ratio(s["hits"], s["called"]),
        "recall": ratio(s["hits"], s["true"]),
        "f1": ratio(2 * s["hits"], s["true"] + s["called"]),
    }


def _overall(s: Sums) -> dict[str, Array]:
    """``(...)`` values."""
    by_class = _per_class(s)
    gaps = np.abs(s["bin_right"] - s["bin_confidence"]).sum(axis=-1)
    calibrated = s["calibrated"][..., 0]
    return {
        "accuracy": ratio(s["right"], s["pictures"])[..., 0],
        "mean_class_accuracy": _mean_of_defined(by_class["recall"]),
        "macro_f1": _mean_of_defined(by_class["f1"]),
        "ece": ratio(gaps, calibrated),
        "brier": ratio(s["squares"][..., 0], calibrated),
    }


def _mean_of_defined(values: Array) -> Array:
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def _overall_row(
    whole: Sums, replicates: Mapping[str, Array], config: BootstrapConfig
) -> ClassificationMetrics:
    values = {name: float(value) for name, value in _overall(whole).items()}
    drawn = {name: replicates[name] for name in values}
    n_pictures, n_calibrated = int(whole["pictures"][0]), int(whole["calibrated"][0])
    counts = dict.fromkeys(values, n_pictures) | {"ece": n_calibrated, "brier": n_calibrated}
    return ClassificationMetrics(
        **estimates(values, drawn, counts, config),
        n_pictures=n_pictures,
        n_classes=int((whole["true"] > 0).sum()),
        n_calibrated=n_calibrated,
        replicates=drawn,
    )


def _class_row(
    c: int, name: str, whole: Sums, replicates: Mapping[str, Array], config: BootstrapConfig
) -> ClassMetrics:
    values = {metric: float(by_class[c]) for metric, by_class in _per_class(whole).items()}
    drawn = {metric: replicates[metric][:, c] for metric in values}
    n_true, n_called, hits = (int(whole[term][c]) for term in ("true", "called", "hits"))
    counts = {"precision": n_called, "recall": n_true, "f1": n_true + n_called - hits}
    return ClassMetrics(
        name,
        **estimates(values, drawn, counts, config),
        n_true=n_true,
        n_called=n_called,
        replicates=drawn,
    )


def _reliability(whole: Sums) -> ReliabilityBins:
    counts = whole["bin_counts"]
    return ReliabilityBins(
        _edges(counts.size),
        counts.astype(np.int64),
        ratio(whole["bin_confidence"], counts),
        ratio(whole["bin_right"], counts),
    )
