"""Pixel counts, truth and decision per picture, and slices of pictures by their true defect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millsight.evaluation.metrics.masks import count_masks

AREA_EDGES = (32.0**2, 96.0**2)
ELONGATION_EDGES = (2.0, 5.0)


@dataclass(frozen=True, slots=True, eq=False)
class PictureCounts:
    """One row per picture: what every sample-centric metric is computed from.

    Attributes:
        tp: ``(N,)`` int64, |P and G| in pixels; 0 where the masks are unknown.
        fp: ``(N,)`` int64, |P and not G|.
        fn: ``(N,)`` int64, |G and not P|.
        y: ``(N,)`` bool, the truth has a defect.
        d: ``(N,)`` bool, the picture is called defective.
        masked: ``(N,)`` bool, both masks are known; the others count for the decisions only.
    """

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    y: NDArray[np.bool_]
    d: NDArray[np.bool_]
    masked: NDArray[np.bool_]

    @classmethod
    def of(cls, tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, y: ArrayLike, d: ArrayLike) -> Self:
        """Take the columns of a table; a NaN count means that a mask of the picture is unknown.

        Raises:
            ValueError: If the columns differ in length.
        """
        pixels = np.stack([np.asarray(column, dtype=np.float64) for column in (tp, fp, fn)])
        masked = ~np.isnan(pixels).any(axis=0)
        both, only_predicted, only_true = np.where(masked, pixels, 0).astype(np.int64)
        truth, decision, known = np.stack([np.asarray(c, dtype=bool) for c in (y, d, masked)])
        return cls(both, only_predicted, only_true, truth, decision, known)

    @classmethod
    def from_masks(
        cls,
        predicted: NDArray[np.bool_],
        true: NDArray[np.bool_],
        d: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Count masks; a picture is defective where its true mask holds a pixel.

        Args:
            predicted: ``(N, H, W)`` bool.
            true: ``(N, H, W)`` bool.
            d: ``(N,)`` bool decisions; by default "any predicted pixel".

        Raises:
            ValueError: If the shapes differ.
        """
        tp, fp, fn = count_masks(predicted, true)
        return cls.of(tp, fp, fn, tp + fn > 0, tp + fp > 0 if d is None else d)

    @classmethod
    def merge(cls, shards: Sequence[Self]) -> Self:
        """Put the pictures of several shards together."""
        return cls(*(np.concatenate([getattr(s, k) for s in shards]) for k in cls.__slots__))

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> Self:
        """The pictures of an index or a bool mask, in its order."""
        return type(self)(*(getattr(self, name)[chosen] for name in self.__slots__))

    def called_by_pixels(self) -> Self:
        """The same pictures with the decision "any predicted pixel"; unknown masks are left out."""
        known = self.select(self.masked)
        decision = known.tp + known.fp > 0
        return type(self)(known.tp, known.fp, known.fn, known.y, decision, known.masked)


def bin_slices(
    name: str, values: ArrayLike, edges: Sequence[float]
) -> dict[str, NDArray[np.bool_]]:
    """Slice pictures by a property of their true defect, such as area or elongation.

    Args:
        name: First word of the slices' names, such as ``"area"``.
        values: ``(N,)``, see :func:`millsight.evaluation.metrics.masks.defect_shape`. NaN, for good
            pictures and unknown masks, lies in no slice.
        edges: Rising inner edges; a slice holds ``low <= value < high``.

    Returns:
        Slice name to ``(N,)`` bool, from the lowest bin to the highest.
    """
    column = np.asarray(values, dtype=np.float64)
    slices = {f"{name} < {edges[0]:g}": column < edges[0]}
    for low, high in pairwise(edges):
        slices[f"{name} {low:g} to {high:g}"] = (low <= column) & (column < high)
    return slices | {f"{name} >= {edges[-1]:g}": column >= edges[-1]}
