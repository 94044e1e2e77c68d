"""Histograms of pixel scores, one row per picture: they merge over shards and resample cheaply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.pixels import PicturePixels
from millsight.evaluation.metrics.ranking import RankingCurve

N_BINS = 1024


@dataclass(frozen=True, slots=True)
class ScoreHistograms:
    """Counts of quantised scores for N pictures and B bins, highest scores first.

    Scores that share a bin become ties. With the edges of :func:`ranking_edges` and 1,024 bins a
    bin holds at most 1/512 of the positives (beyond what is tied anyway), so AUROC is off by at
    most 1/1024; the other three have no such bound, but err as little in practice.

    Attributes:
        edges: ``(B - 1,)`` float32, falling. Bin ``b`` holds ``edges[b] <= score < edges[b - 1]``.
        negatives: ``(N, B)`` float32, normal pixels.
        positives: ``(N, B)`` float32, defective pixels.
        overlap: ``(N, B)`` float32, sum of 1 / (area of its region) over the defective pixels.
    """

    edges: NDArray[np.float32]
    negatives: NDArray[np.float32]
    positives: NDArray[np.float32]
    overlap: NDArray[np.float32]

    @classmethod
    def of(cls, pictures: Sequence[PicturePixels], edges: NDArray[np.float32]) -> Self:
        """Count the pixels of every picture into the bins between ``edges`` (falling)."""
        shape = (len(pictures), edges.size + 1)
        negatives, positives, overlap = (np.zeros(shape, np.float32) for _ in range(3))
        for row, picture in enumerate(pictures):
            bins = edges.size - np.searchsorted(edges[::-1], picture.scores, side="right")
            negatives[row] = np.bincount(bins, minlength=shape[1])
            if picture.regions is not None:
                here = np.flatnonzero(picture.regions)
                positives[row] = np.bincount(bins[here], minlength=shape[1])
                overlap[row] = np.bincount(bins[here], picture.overlap[here], shape[1])
                negatives[row] -= positives[row]
        return cls(edges, negatives, positives, overlap)

    @classmethod
    def merge(cls, shards: Sequence[Self]) -> Self:
        """Put the pictures of several shards together; equal to counting them all at once.

        Raises:
            ValueError: If two shards were counted with different edges.
        """
        edges = shards[0].edges
        if any(not np.array_equal(edges, shard.edges) for shard in shards):
            raise ValueError("shards were counted with different edges and cannot be merged")
        rows = ("negatives", "positives", "overlap")
        return cls(edges, *(np.concatenate([getattr(s, name) for s in shards]) for name in rows))

    def curve(self, weights: NDArray[np.float32] | None = None) -> RankingCurve:
        """Add the pictures up.

        Args:
            weights: ``(R, N)``, how often each resample counts each picture; by default once.

        Returns:
            A curve whose counts are ``(R, B)``, or ``(B,)`` without weights.
        """
        once = np.ones(self.negatives.shape[0], dtype=np.float32)
        counts = once if weights is None else weights
        thresholds = np.append(self.edges, np.float32(-np.inf))
        parts = (self.negatives, self.positives, self.overlap)
        return RankingCurve(thresholds, *((counts @ part).astype(np.float64) for part in parts))


def ranking_edges(curve: RankingCurve, n_bins: int = N_BINS) -> NDArray[np.float32]:
    """Falling bin edges that lose little of a curve.

    Half of them take equal steps in recall, half equal steps in region overlap; the scores between
    two positives need no edge.

    Args:
        curve: An exact pixel curve with at least one positive.
        n_bins: Even; the number of bins is this or, where scores tie, fewer.
    """
    levels = curve.thresholds[curve.positives > 0]
    steps = np.linspace(0, 1, n_bins // 2 + 1)[1:]
    chosen = []
    for mass in (curve.positives, curve.overlap):
        reached = mass[curve.positives > 0].cumsum()
        index = np.searchsorted(reached, steps * reached[-1])
        chosen.append(levels[np.minimum(index, levels.size - 1)])
    return np.unique(np.concatenate(chosen))[::-1]
