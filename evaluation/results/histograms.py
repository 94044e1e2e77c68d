"""Histograms of map values with edges that depend on no data, so that any shards can be merged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millsight.evaluation.metrics.histograms import ScoreHistograms
from millsight.evaluation.metrics.pixels import PicturePixels
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
    column = table["map_histogram"].combine_chunks().drop_null()
    lists = {name: column.field(name) for name in ("bins", "normal", "defective", "overlap")}
    values = {name: part.flatten().to_numpy() for name, part in lists.items()}
    lengths = lists["bins"].value_lengths().to_numpy()
    used = np.flatnonzero(np.bincount(values["bins"]))
    where = np.repeat(np.arange(lengths.size), lengths), np.searchsorted(used, values["bins"])
    counts = []
    for name in ("normal", "defective", "overlap"):
        dense = np.zeros((lengths.size, used.size), np.float32)
        dense[where] = values[name]
        counts.append(dense)
    return ScoreHistograms(EDGES[used[:-1]], *counts)
