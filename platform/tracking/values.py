"""What a tracker keeps besides numbers: pictures under masks, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

Scalar: TypeAlias = float | int | str | None
Picture: TypeAlias = Path | np.ndarray

# A table of pictures is for looking at: its first rows, so bring the worst first.
TABLE_PICTURES = 50
# More points than a screen has columns show nothing more.
CURVE_POINTS = 1000


@dataclass(frozen=True, eq=False)
class Overlay:
    """A picture with masks that a viewer can lay over it, one by one.

    Attributes:
        picture: A file, or a uint8 array (H, W) or RGB (H, W, 3).
        masks: By name, for example ``truth`` and ``prediction``: files, or arrays (H, W), bool or
            uint8, in the picture's pixels. 0 is background, other values are classes.
        classes: Names of the values in the masks.
    """

    picture: Picture
    masks: Mapping[str, Picture] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=lambda: {1: "defect"})


Cell: TypeAlias = Scalar | Overlay
Row: TypeAlias = Mapping[str, Cell]
Curve: TypeAlias = Mapping[str, Sequence[float] | np.ndarray]


def capped(rows: Sequence[Row]) -> Sequence[Row]:
    """Return a table's rows: the first ``TABLE_PICTURES`` where it holds pictures, else all."""
    pictured = any(isinstance(cell, Overlay) for row in rows for cell in row.values())
    return rows[:TABLE_PICTURES] if pictured else rows


def thinned(curve: Curve) -> dict[str, list[float]]:
    """Return ``CURVE_POINTS`` of a curve's points at most, evenly by position, both ends kept.

    Raises:
        ValueError: If the columns are fewer than two or differ in length.
    """
    columns = {name: np.asarray(values, np.float64) for name, values in curve.items()}
    lengths = {column.size for column in columns.values()}
    if len(columns) < 2 or len(lengths) != 1:
        raise ValueError("a curve has two columns or more, x first, all of one length")
    (length,) = lengths
    kept = np.unique(np.linspace(0, length - 1, min(length, CURVE_POINTS)).round().astype(int))
    return {name: column[kept].tolist() for name, column in columns.items()}
