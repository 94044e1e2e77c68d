"""Histograms of map values with edges that depend on no data, so that any shards can be merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millsight.evaluation.metrics.histograms import ScoreHistograms, ranking_edges
from millsight.evaluation.metrics.pixels import PicturePixels
from millsight.evaluation.metrics.ranking import RankingCurve
from millsight.evaluation.results.row import MapHistogram

DROPPED_BITS = 3
FLOAT16_INFINITY = 0x7C00


def _edges() -> NDArray[np.float32]:
    bits = np.arange(0, FLOAT16_INFINITY, 1 << DROPPED_BITS, dtype=np.uint16)
    positive = bits.view(np.float16).astype(np.float32)
    return np.concatenate([positive[::-1], -positive[1:]])


EDGES = _edges()
"""``(7935,)`` float32, falling: the float16 numbers whose last three of ten mantissa bits are 0.

A bin is at most 1/128 of its value wide, and maps are stored as float16 themselves. Bin ``b`` holds
``EDGES[b] <= value < EDGES[b - 1]``."""


def count_pixels(pixels: PicturePixels) -> MapHistogram:
    """Count one picture's map values; see ``metrics.pixels.picture_pixels``.

    Raises:
        ValueError: If a value is NaN.
    """
    if np.isnan(pixels.scores).any():
        raise ValueError("the map has NaN values")
    bins = EDGES.size - np.searchsorted(EDGES[::-1], pixels.scores, side="right")
    total = np.bincount(bins, minlength=EDGES.size + 1)
    here = np.flatnonzero(pixels.defective)
    defective = np.bincount(bins[here], minlength=total.size)
    overlap = np.bincount(bins[here], pixels.overlap[here], total.size)
    used = np.flatnonzero(total)
    columns = (used, (total - defective)[used], defective[used], overlap[used])
    return MapHistogram(*(tuple(column.tolist()) for column in columns))


def score_histograms(table: pa.Table) -> ScoreHistograms:
    """Put the pictures' histograms side by side, ready for curves and resampling.

    Bins that no picture uses are left out, which changes no curve.

    Args:
        table: A result table, of which only ``map_histogram`` is read. At least one of its rows has
            one; N of them do.

    Returns:
        Histograms of those N pictures, in the order of the table.
    """
    flat = _Flat.of(table)
    return ScoreHistograms(EDGES[flat.used[:-1]], *flat.dense(flat.bins, flat.used.size))


def resampling_histograms(table: pa.Table) -> tuple[RankingCurve, ScoreHistograms | None]:
    """Add the pictures' histograms up as finely as they are, and lay them out coarsely by picture.

    Resampling needs every picture's counts side by side: at 1,024 bins those of 10,000 pictures
    take 120 MB.

    Args:
        table: As for :func:`score_histograms`.

    Returns:
        The curve of all N pictures, and their histograms with the edges that lose little of it;
        ``None`` where no pixel is defective.
    """
    flat = _Flat.of(table)
    thresholds = np.append(EDGES[flat.used[:-1]], np.float32(-np.inf))
    totals = [np.bincount(flat.bins, column, flat.used.size) for column in flat.counts]
    curve = RankingCurve(thresholds, *np.asarray(totals, dtype=np.float64))
    if not curve.positives.any():
        return curve, None
    edges = ranking_edges(curve)
    edges = edges[np.isfinite(edges)]
    coarse = edges.size - np.searchsorted(edges[::-1], thresholds, side="right")
    return curve, ScoreHistograms(edges, *flat.dense(coarse[flat.bins], edges.size + 1))


@dataclass(frozen=True, slots=True)
class _Flat:
    """The ``map_histogram`` column as flat arrays over all bins of all its N pictures.

    Attributes:
        used: ``(B,)`` numbers of the bins that any picture uses.
        bins: ``(F,)`` index into ``used``.
        pictures: ``(F,)`` index of the picture.
        counts: ``(3, F)`` normal and defective pixels and overlap.
        n_pictures: N.
    """

    used: NDArray[np.int64]
    bins: NDArray[np.int64]
    pictures: NDArray[np.int64]
    counts: NDArray[np.float64]
    n_pictures: int

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        column = table["map_histogram"].combine_chunks().drop_null()
        lists = {name: column.field(name) for name in ("bins", "normal", "defective", "overlap")}
        bins, *counts = (part.flatten().to_numpy() for part in lists.values())
        lengths = lists["bins"].value_lengths().to_numpy()
        used = np.flatnonzero(np.bincount(bins))
        return cls(
            used,
            np.searchsorted(used, bins),
            np.repeat(np.arange(lengths.size), lengths),
            np.stack(counts).astype(np.float64),
            lengths.size,
        )

    def dense(self, bins: NDArray[np.int64], n_bins: int) -> Iterator[NDArray[np.float32]]:
        """``(N, n_bins)`` each of the three counts."""
        where = self.pictures * n_bins + bins
        for column in self.counts:
            added = np.bincount(where, column, self.n_pictures * n_bins)
            yield added.astype(np.float32).reshape(self.n_pictures, n_bins)
