"""Squares of a picture as patches of the model's size, and patches laid back into the picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.generators.masks.morphology import Mask
from millsight.generators.masks.squares import Square

Levels = NDArray[np.float32]
Picture = NDArray[np.integer[Any] | np.floating[Any]]
# Of a square's side: over this it fades into the picture around it.
FADE = 0.125


def cut(picture: NDArray[np.uint8], square: Square, side: int) -> NDArray[np.uint8]:
    """Return a square of ``(H, W, 3)`` uint8, scaled to ``(side, side, 3)``."""
    return np.asarray(_resize(picture[_part(square)], side), np.uint8)


def cut_mask(mask: Mask, square: Square, side: int) -> Mask:
    """Return a square of ``(H, W)`` bool, scaled to ``(side, side)``; a touched pixel counts."""
    levels = mask[_part(square)].astype(np.float32)
    how = cv2.INTER_AREA if square[2] > side else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(levels, (side, side), interpolation=how) > 0)


def lay(picture: Levels, patch: Levels, square: Square, alpha: Levels) -> None:
    """Blend a patch into a picture, in place.

    Args:
        picture: ``(H, W, 3)`` float32 grey levels.
        patch: ``(S, S, 3)`` float32 grey levels; scaled to the square.
        square: Where it belongs.
        alpha: ``(H, W)`` float32, its share in [0, 1] at each pixel of the picture.
    """
    part = _part(square)
    share = alpha[part][..., None]
    own: Levels = np.asarray(_resize(patch, square[2]), np.float32)
    picture[part] += share * (own - picture[part])


def fading(square: Square, size: tuple[int, int]) -> Levels:
    """Return a patch's share ``(H, W)``: 1 inside, fading out at sides within the picture."""
    x, y, side = square
    height, width = size
    rows = _ramp(side, fade_low=y > 0, fade_high=y + side < height)
    columns = _ramp(side, fade_low=x > 0, fade_high=x + side < width)
    alpha = np.zeros(size, np.float32)
    alpha[_part(square)] = np.minimum(rows[:, None], columns[None, :])
    return alpha


def without_colour(patch: Levels) -> Levels:
    """Return the mean of the channels in each of them."""
    grey = patch.mean(axis=2, keepdims=True)
    return np.repeat(grey, 3, axis=2)


def to_uint8(levels: Levels) -> NDArray[np.uint8]:
    """Round grey levels; resizing may have gone beyond their range."""
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def _part(square: Square) -> tuple[slice, slice]:
    x, y, side = square
    return slice(y, y + side), slice(x, x + side)


def _resize(picture: Picture, side: int) -> Picture:
    if len(picture) == side:
        return picture
    how = cv2.INTER_AREA if len(picture) > side else cv2.INTER_CUBIC
    return cv2.resize(picture, (side, side), interpolation=how)


def _ramp(side: int, *, fade_low: bool, fade_high: bool) -> Levels:
    width = max(1.0, FADE * side)
    low = (np.arange(side, dtype=np.float32) + 0.5) / width
    ramp = np.ones(side, np.float32)
    if fade_low:
        ramp = np.minimum(ramp, low)
    if fade_high:
        ramp = np.minimum(ramp, low[::-1])
    return ramp
