"""The attributes of SteelDefectX (arXiv 2603.21824, T3) that a mask decides."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from millsight.platform.errors import UserError

CELLS = (
    "top-left", "top-center", "top-right",
    "middle-left", "center", "middle-right",
    "bottom-left", "bottom-center", "bottom-right",
)  # fmt: skip
_COUNTS = ("one", "two", "three", "four", "five")


@dataclass(frozen=True)
class MaskAttributes:
    """Five of the nine fields.

    Attributes:
        scale: tiny, small, medium, large or extensive, by the defect's share of the picture.
        polarity: dark, bright or neutral, against the rest of the picture.
        saliency: low, medium or high, by the absolute contrast.
        number: one to five, or multiple, of 8-connected components.
        position: (cell, share of the defect's pixels) of the 3x3 cells it touches, largest first;
            cells with the same share in reading order.
    """

    scale: str
    polarity: str
    saliency: str
    number: str
    position: tuple[tuple[str, float], ...]


def scale_of(area_share: float) -> str:
    """Scale by area share: < .01 tiny, < .03 small, < .10 medium, <= .25 large, else extensive."""
    for name, bound in (("tiny", 0.01), ("small", 0.03), ("medium", 0.10)):
        if area_share < bound:
            return name
    return "large" if area_share <= 0.25 else "extensive"


def polarity_of(contrast: float) -> str:
    """Polarity by mean grey inside less outside: < -5 dark, > 5 bright, else neutral."""
    if contrast < -5:
        return "dark"
    return "bright" if contrast > 5 else "neutral"


def saliency_of(contrast: float) -> str:
    """Saliency by the contrast's absolute value: < 10 low, <= 40 medium, else high."""
    if abs(contrast) < 10:
        return "low"
    return "medium" if abs(contrast) <= 40 else "high"


def _position(inside: npt.NDArray[np.bool_]) -> tuple[tuple[str, float], ...]:
    height, width = inside.shape
    rows = [round(height * part / 3) for part in range(4)]
    columns = [round(width * part / 3) for part in range(4)]
    counts = [
        int(np.count_nonzero(inside[rows[r] : rows[r + 1], columns[c] : columns[c + 1]]))
        for r in range(3)
        for c in range(3)
    ]
    total = sum(counts)
    ranked = sorted(zip(CELLS, counts, strict=True), key=lambda cell: -cell[1])
    return tuple((name, count / total) for name, count in ranked if count)


def mask_attributes(
    picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_] | npt.NDArray[np.uint8]
) -> MaskAttributes:
    """Scale, polarity, saliency, number and position of a masked defect.

    Args:
        picture: uint8 (H, W), grey.
        mask: (H, W), bool, or uint8 with the foreground above 127.

    Returns:
        The five fields. A mask over the whole picture has nothing to compare with: its contrast
        is 0.

    Raises:
        UserError: the mask is empty; such a picture has no attributes.
    """
    inside: npt.NDArray[Any] = mask if mask.dtype == np.bool_ else mask > 127
    area = int(np.count_nonzero(inside))
    if area == 0:
        raise UserError(
            "The mask is empty, so the picture has no defect attributes: leave it out, or give "
            "a mask whose foreground is above 127."
        )
    total = float(picture.sum(dtype=np.int64))
    within = float(picture[inside].sum(dtype=np.int64))
    outside = (total - within) / (picture.size - area) if area < picture.size else within / area
    contrast = within / area - outside
    components = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)[0] - 1
    number = _COUNTS[components - 1] if components <= len(_COUNTS) else "multiple"
    return MaskAttributes(
        scale_of(area / picture.size),
        polarity_of(contrast),
        saliency_of(contrast),
        number,
        _position(inside),
    )
