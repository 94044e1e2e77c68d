"""Pictures reduced as torchvision reduces them for training, to the grey level, without torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_PRECISION = 22
INT16_VALUES = 1 << 15
Array = NDArray[np.float64]


def resize(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Squash a picture, bilinear with antialiasing, in the 16-bit fixed point of torch on a CPU.

    Other libraries round otherwise: one grey level moves some models' scores by 0.2.

    Args:
        picture: ``(H, W, 3)`` uint8.
        size: ``(h, w)`` wanted.

    Returns:
        ``(h, w, 3)`` uint8, equal to ``torchvision.transforms.v2.functional.resize`` with
        ``antialias=True``.
    """
    height, width = picture.shape[:2]
    columns = picture.astype(np.float64).transpose(1, 0, 2).reshape(width, -1)
    rows = _along(columns, size[1]).reshape(size[1], height, 3).transpose(1, 0, 2)
    return _along(rows.reshape(height, -1), size[0]).reshape(*size, 3).astype(np.uint8)


def _along(values: Array, length: int) -> Array:
    """Reduce the first axis; every product and sum is a whole number below 2**53."""
    weights, precision = _weights(values.shape[0], length)
    summed = weights @ values + (1 << precision - 1)
    return np.asarray(np.clip(np.floor(summed / (1 << precision)), 0, 255))


def _weights(given: int, wanted: int) -> tuple[Array, int]:
    """Return ``(wanted, given)`` whole weights, and the power of two that they add up to."""
    scale = given / wanted
    reach = max(1.0, scale)
    centre = ((np.arange(wanted) + 0.5) * scale)[:, None]
    at = np.arange(given)
    weights = np.maximum(1 - np.abs((at + 0.5 - centre) / reach), 0)
    first, end = ((centre + side + 0.5).astype(np.int64) for side in (-reach, reach))
    weights[(at < first) | (at >= end)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    precision = 0
    while precision < MAX_PRECISION and int(weights.max() * (2 << precision) + 0.5) < INT16_VALUES:
        precision += 1
    return np.floor(weights * (1 << precision) + 0.5), precision
