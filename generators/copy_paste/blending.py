"""Laying a piece of one picture into another so that only the defect stands out."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import splu

from millsight.platform.catalog.pictures import is_grey

# Contrast of the steel around the defect is matched within a factor of this.
MOST_GAIN = 2.0
BESIDE = 3
Picture = NDArray[np.uint8]
Distance = NDArray[np.float32]
Window = tuple[slice, slice]


def match_surroundings(piece: Picture, plate: Picture, away: Distance, reach: int) -> Picture:
    """Give the steel around a defect the plate's brightness and contrast.

    Per channel, mean and standard deviation of the ring from ``reach`` to ``reach + 3 reach``
    pixels outside the mask are brought to the plate's there; the contrast by at most a factor of 2.
    A grey plate makes the piece grey.

    Args:
        piece: ``(H, W, 3)`` uint8, the moved source.
        plate: ``(H, W, 3)`` uint8.
        away: ``(H, W)`` float32, pixels from the defect (see ``masks.morphology.distance_to``).
        reach: Pixels, at least 1.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    if is_grey(plate):
        piece = np.asarray(
            cv2.cvtColor(cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        )
    ring = (away > reach) & (away <= reach * (1 + BESIDE))
    if not ring.any():
        # A defect from side to side has nothing beside it; then the whole is matched.
        ring = np.ones_like(ring)
    here, there = plate[ring].astype(np.float64), piece[ring].astype(np.float64)
    gain = (here.std(axis=0) + 1) / (there.std(axis=0) + 1)
    gain = np.clip(gain, 1 / MOST_GAIN, MOST_GAIN)
    matched = (piece - there.mean(axis=0)) * gain + here.mean(axis=0)
    levels: Picture = np.clip(np.rint(matched), 0, 255).astype(np.uint8)
    return levels


def feather(piece: Picture, plate: Picture, away: Distance, reach: int) -> Picture:
    """Lay the piece over the plate: whole in the mask, fading out within ``reach`` pixels of it.

    Pixels further away are the plate's, to the last bit.

    Args:
        piece: ``(H, W, 3)`` uint8.
        plate: ``(H, W, 3)`` uint8.
        away: ``(H, W)`` float32, pixels from the defect.
        reach: Pixels, at least 1.
    """
    share = np.clip(1 - away / (reach + 1), 0, 1)[:, :, None]
    share = share * share * (3 - 2 * share)
    mixed = np.rint(share * piece + (1 - share) * plate).astype(np.uint8)
    return np.where((away <= reach)[:, :, None], mixed, plate)


def poisson(piece: Picture, plate: Picture, away: Distance, reach: int) -> Picture:
    """Solve for the piece's gradients within ``reach``, with the plate's values around it.

    Perez et al., Poisson Image Editing, 2003, equation 7: what is added to the piece is harmonic,
    and makes it equal the plate just outside. At the picture's sides it is free. Pixels further
    away are the plate's, to the last bit. Arguments are those of ``feather``.
    """
    region = away <= reach
    if region.all():
        return piece
    channels = 1 if is_grey(plate) and is_grey(piece) else 3
    missing = plate[:, :, :channels].astype(np.float64) - piece[:, :, :channels]
    added = _harmonic(region, missing)
    blended = plate.copy()
    blended[region] = np.clip(np.rint(piece[region] + added), 0, 255)
    return blended


def _harmonic(region: NDArray[np.bool_], around: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N, C)``: what is harmonic on the region's N pixels and equals ``around`` beside them."""
    number = np.cumsum(region).reshape(region.shape) - 1
    own, other, total = [], [], np.zeros((np.count_nonzero(region), around.shape[2]))
    degree = np.zeros(total.shape[0])
    for here, there in _neighbours():
        inside = region[here] & region[there]
        own.append(number[here][inside])
        other.append(number[there][inside])
        edge = region[here] & ~region[there]
        np.add.at(total, number[here][edge], around[there][edge])
        np.add.at(degree, number[here][region[here]], 1)
    ends = np.concatenate(own), np.concatenate(other)
    joined = csc_array((-np.ones(ends[0].size), ends), (degree.size, degree.size))
    solver = splu(csc_array(joined + diags_array(degree)), permc_spec="MMD_AT_PLUS_A")
    return np.asarray(solver.solve(total))


def _neighbours() -> Iterator[tuple[Window, Window]]:
    """Windows of an array, and of what lies right, left, below and above of each element."""
    first, last, every = slice(None, -1), slice(1, None), slice(None)
    yield (every, first), (every, last)
    yield (every, last), (every, first)
    yield (first, every), (last, every)
    yield (last, every), (first, every)
