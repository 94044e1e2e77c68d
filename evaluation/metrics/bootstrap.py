"""Percentile bootstrap over pictures: resample pictures, never pixels, which are not independent.

Every resample is a row of weights (how often each picture was drawn), so a metric of 1,000
resamples is one matrix product and one vectorised pass over the tied groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millsight.evaluation.metrics.ranking import Array, RankingCurve

_CHUNK = 4_000_000


def defined(number: float) -> float | None:
    """The number for JSON, which has no NaN: ``None`` where it is undefined."""
    return None if math.isnan(number) else number


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its bootstrap interval.

    Attributes:
        value: The metric on the pictures as they are; NaN where it is undefined.
        low: Lower end of the interval; NaN where it is undefined.
        high: Upper end of the interval; NaN where it is undefined.
        n: Number of pictures it was computed from (categories, for a mean over categories).
    """

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, value: float, replicates: Array, confidence: float, n: int) -> Estimate:
        """Percentile interval of the defined replicates (a resample may draw one class only).

        Args:
            value: The metric on the pictures as they are.
            replicates: ``(R,)``, the metric on every resample.
            confidence: In (0, 1), such as 0.95.
            n: Number of pictures.
        """
        known = replicates[~np.isnan(replicates)]
        if np.isnan(value) or not known.size:
            return cls(float(value), float("nan"), float("nan"), n)
        tail = (1 - confidence) / 2
        low, high = np.quantile(known, (tail, 1 - tail))
        return cls(float(value), float(low), float(high), n)

    def to_dict(self) -> dict[str, float | None]:
        """For JSON: an undefined number is ``None``."""
        return {key: defined(number) for key, number in asdict(self).items()}


def resample_weights(
    n_pictures: int, n_resamples: int, seed: int | tuple[int, ...]
) -> Iterator[NDArray[np.float32]]:
    """Draw pictures with replacement, a block of resamples at a time.

    The draws depend on the arguments alone, so two runs over the same pictures are resampled alike
    and their differences are paired.

    Yields:
        ``(r, N)`` float32; every row adds up to N.
    """
    rng = np.random.default_rng(seed)
    block = max(1, _CHUNK // max(n_pictures, 1))
    for start in range(0, n_resamples, block):
        rows = min(block, n_resamples - start)
        drawn = rng.integers(n_pictures, size=(rows, n_pictures)) if n_pictures else None
        yield _count(drawn, rows, n_pictures)


def _count(drawn: NDArray[np.int64] | None, rows: int, n_pictures: int) -> NDArray[np.float32]:
    if drawn is None:
        return np.zeros((rows, 0), dtype=np.float32)
    flat = (drawn + n_pictures * np.arange(rows)[:, None]).ravel()
    counts = np.bincount(flat, minlength=rows * n_pictures)
    return counts.reshape(rows, n_pictures).astype(np.float32)


def replicate(
    measure: Callable[[NDArray[np.float32]], Mapping[str, Array]],
    n_pictures: int,
    n_resamples: int,
    seed: int | tuple[int, ...],
) -> dict[str, Array]:
    """Measure every resample.

    Args:
        measure: From ``(r, N)`` weights to metric name to ``(r, ...)`` values.
        n_pictures: N.
        n_resamples: R.
        seed: See :func:`resample_weights`.

    Returns:
        Metric name to ``(R, ...)`` values.
    """
    none = np.zeros((0, n_pictures), dtype=np.float32)
    blocks = [measure(weights) for weights in resample_weights(n_pictures, n_resamples, seed)]
    blocks = blocks or [measure(none)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def picture_curve(
    scores: ArrayLike, labels: ArrayLike, weights: NDArray[np.float32]
) -> RankingCurve:
    """Exact picture-level curves of many resamples, from one sort of the scores.

    Args:
        scores: ``(N,)``, compared as float32, N >= 1.
        labels: ``(N,)`` bool, True where the picture is defective.
        weights: ``(R, N)`` from :func:`resample_weights`.

    Returns:
        A curve whose counts are ``(R, G)``.
    """
    values = np.asarray(scores, dtype=np.float32)
    order = np.argsort(-values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=np.float32(np.nan)))
    drawn = weights[:, order].astype(np.float64)
    defective = np.asarray(labels, dtype=bool)[order]
    positives = np.add.reduceat(drawn * defective, starts, axis=1)
    negatives = np.add.reduceat(drawn * ~defective, starts, axis=1)
    return RankingCurve(values[order][starts], negatives, positives, np.zeros_like(positives))
