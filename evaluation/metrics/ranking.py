"""Ranking metrics, all read from one sort of the scores.

A :class:`RankingCurve` is the sorted scores with equal ones tied into groups. Every number of this
module and of :mod:`millsight.evaluation.metrics.aupro` is a sum over those groups, so ties are
exact, and a histogram of scores is the same object with coarser groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_TAG_BITS = np.uint64(32)
_TAG_MASK = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class RankingCurve:
    """Counts per group of tied scores, from the highest score to the lowest.

    All arrays but ``thresholds`` may carry leading axes (one curve per bootstrap resample).

    Attributes:
        thresholds: ``(G,)`` float32. Calling everything with ``score >= thresholds[g]`` defective
            includes groups ``0..g``. Neighbouring groups without a positive are merged into one,
            which changes no metric; it repeats the threshold above it (``inf`` for the first).
        negatives: ``(..., G)`` float64, number of normal items in each group.
        positives: ``(..., G)`` float64, number of defective items in each group.
        overlap: ``(..., G)`` float64, sum of 1 / (area of its region) over the group's defective
            pixels; over all groups it adds up to the number of regions. Zeros for pictures.
    """

    thresholds: NDArray[np.float32]
    negatives: Array
    positives: Array
    overlap: Array

    @classmethod
    def from_scores(cls, scores: ArrayLike, labels: ArrayLike) -> Self:
        """Rank one score per item.

        Args:
            scores: ``(N,)``, higher is more anomalous; compared as float32.
            labels: ``(N,)`` bool, True where the item is defective.

        Raises:
            ValueError: If a score is NaN.
        """
        tags = np.asarray(labels, dtype=bool).astype(np.uint32)
        return cls.from_tagged([np.asarray(scores)], [tags], np.zeros(2))

    @classmethod
    def from_tagged(
        cls,
        scores: Sequence[NDArray[np.floating]],
        tags: Sequence[NDArray[np.uint32] | None],
        tag_weights: Array,
    ) -> Self:
        """Rank the scores of several pictures, each item tagged with the region it lies in.

        Args:
            scores: One flat array per picture, compared as float32.
            tags: One flat array per picture, 0 for normal, otherwise an index into
                ``tag_weights``; ``None`` for a picture that is normal throughout.
            tag_weights: ``(T,)``, what one item of a tag adds to :attr:`overlap`.

        Raises:
            ValueError: If a score is NaN.
        """
        keys = np.empty(sum(part.size for part in scores), dtype=np.uint64)
        stop = 0
        for part, part_tags in zip(scores, tags, strict=True):
            start, stop = stop, stop + part.size
            keys[start:stop] = _descending_keys(part)
            keys[start:stop] <<= _TAG_BITS
            if part_tags is not None:
                keys[start:stop] |= part_tags
        keys.sort()
        return cls(*_tied_groups(keys, tag_weights))

    def auroc(self) -> Array:
        """Area under the ROC curve, ``(...)``; NaN unless both classes are present."""
        caught = self.positives.cumsum(-1)
        area = (self.negatives * (caught - self.positives / 2)).sum(-1)
        return ratio(area, self.positives.sum(-1) * self.negatives.sum(-1))

    def average_precision(self) -> Array:
        """Sum of precision x recall step, ``(...)``; NaN without positives."""
        caught = self.positives.cumsum(-1)
        called = caught + self.negatives.cumsum(-1)
        area = (self.positives * caught / np.maximum(called, 1)).sum(-1)
        return ratio(area, self.positives.sum(-1))

    def f1_max(self) -> tuple[Array, Array]:
        """Highest F1 over all thresholds, and the threshold (call ``score >= threshold``).

        The threshold is chosen on the very items it is judged on, so F1-max is an upper bound.

        Returns:
            ``(...)`` F1 and ``(...)`` threshold; both NaN without positives.
        """
        caught = self.positives.cumsum(-1)
        total = self.positives.sum(-1)
        called = caught + self.negatives.cumsum(-1)
        f1 = 2 * caught / np.maximum(called + total[..., None], 1)
        best = f1.argmax(-1)
        threshold = np.where(total > 0, self.thresholds[best], np.nan).astype(np.float64)
        return np.where(total > 0, f1.max(-1), np.nan), threshold


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide, elementwise; NaN where the denominator is not positive, for there is nothing to rate.

    Args:
        numerator: ``(...)``, zero wherever the denominator is.
        denominator: ``(...)``.
    """
    with np.errstate(invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _descending_keys(scores: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Unsigned integers in the reverse order of the scores: sorting those is far faster."""
    # Adding zero turns -0.0 into 0.0, which compares equal and must tie.
    values = np.ascontiguousarray(scores, dtype=np.float32) + np.float32(0)
    if np.isnan(values).any():
        raise ValueError("scores hold NaN: an undefined score cannot be ranked")
    bits = values.view(np.uint32)
    negative = (values.view(np.int32) >> 31).view(np.uint32)
    keys: NDArray[np.uint32] = bits ^ (~negative & _MAGNITUDE)
    return keys


def _scores_of(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    negative = (keys.view(np.int32) >> 31).view(np.uint32)
    return (keys ^ (~negative & _MAGNITUDE)).view(np.float32)


def _tied_groups(
    keys: NDArray[np.uint64], tag_weights: Array
) -> tuple[NDArray[np.float32], Array, Array, Array]:
    """Sorted keys to the four arrays of a curve, visiting the positives only.

    Group ``2 g`` holds the normal items above the g-th distinct positive score, group ``2 g + 1``
    everything tied with it, and the last group the normal items below all of them.
    """
    tags = keys.astype(np.uint32)
    where = np.flatnonzero(tags)
    heads = keys[where] >> _TAG_BITS
    firsts = np.flatnonzero(np.diff(heads, prepend=heads[:1] + np.uint64(1)))
    tied = np.diff(firsts, append=where.size)
    distinct = heads[firsts] << _TAG_BITS
    starts = np.searchsorted(keys, distinct, side="left")
    ends = np.searchsorted(keys, distinct | _TAG_MASK, side="right")

    negatives, positives, overlap = np.zeros((3, 2 * firsts.size + 1))
    negatives[0:-1:2] = starts - np.concatenate(([0], ends))[:-1]
    negatives[1::2] = ends - starts - tied
    negatives[-1] = keys.size - (ends[-1] if ends.size else 0)
    positives[1::2] = tied
    if firsts.size:
        overlap[1::2] = np.add.reduceat(tag_weights[tags[where]], firsts)
    levels = _scores_of((distinct >> _TAG_BITS).astype(np.uint32))
    thresholds = np.repeat(np.concatenate(([np.float32(np.inf)], levels)), 2)[1:]
    return thresholds, negatives, positives, overlap
