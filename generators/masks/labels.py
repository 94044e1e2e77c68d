"""The mask and boxes that a sample is labelled with: what differs from the plate, where asked."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.generators.masks.morphology import Mask, dilate, group_boxes, keep_regions, reach
from millsight.generators.samples import Box
from millsight.platform.errors import UserError

# Standard deviation over median absolute value, of a normal distribution.
NORMAL_MAD = 1.4826
SMOOTHING = 1.0
LEAST_LEVELS = 4.0
BESIDE = 2
EDGE = 0.4
# Regenerated texture agrees with the plate's neither here nor a few pixels on.
SHIFTS = ((0, 5), (5, 0), (0, 9), (9, 0))


@dataclass
class LabelConfig:
    """How masks and boxes are read off a sample.

    Attributes:
        dilation: How far beyond the mask that was asked for a defect may reach; share of the
            picture's shorter side, a pixel at least.
        deviations: Differences count from so many standard deviations of the plate's own texture.
        smallest: Regions of fewer pixels are specks; share of the picture's area, 3 pixels at
            least.
        joining: Regions this near are one defect and share a box; share of the shorter side.
    """

    dilation: float = 0.02
    deviations: float = 3.0
    smallest: float = 5e-5
    joining: float = 0.03

    def check(self) -> None:
        """Refuse settings that label nothing.

        Raises:
            UserError: Naming the setting.
        """
        shares = {"dilation": self.dilation, "smallest": self.smallest, "joining": self.joining}
        for name, share in shares.items():
            if not 0 <= share < 1:
                raise UserError(f"--labels.{name} {share}: a share, from 0 to below 1.")
        if self.deviations <= 0:
            raise UserError(f"--labels.deviations {self.deviations}: above 0.")


def changed_mask(
    picture: NDArray[np.uint8],
    plate: NDArray[np.uint8],
    requested: Mask,
    config: LabelConfig,
) -> Mask:
    """Return what differs from the plate, inside the dilated request.

    The difference, smoothed, is held against that between the plate and itself some pixels on: as
    much as fresh texture would differ, with the same smoothing. What passes the threshold counts,
    and half of that beside it; a sharp edge lies where the difference falls to two fifths, which
    takes back what the smoothing added.

    Args:
        picture: ``(H, W, 3)`` uint8.
        plate: ``(H, W, 3)`` uint8, the picture before.
        requested: ``(H, W)`` bool.
        config: Threshold and reach.

    Returns:
        ``(H, W)`` bool, within ``dilate(requested, reach)``; empty where nothing stands out.
    """
    size = requested.shape[0], requested.shape[1]
    allowed = dilate(requested, reach(config.dilation, size))
    before = _smooth(plate)
    difference = np.abs(_smooth(picture) - before).max(axis=2)
    threshold = max(LEAST_LEVELS, config.deviations * texture_deviation(before, allowed))
    strong = allowed & (difference > threshold)
    changed = allowed & (difference > threshold / 2) & dilate(strong, BESIDE)
    highest = cv2.dilate(difference, np.ones((2 * BESIDE + 1,) * 2, np.uint8))
    changed &= difference >= EDGE * highest
    return keep_regions(changed, smallest_area(size, config))


def texture_deviation(smooth: NDArray[np.float32], region: Mask) -> float:
    """Standard deviation, in grey levels, of the texture's difference to itself some pixels on.

    Robust: from the median, so that a scratch or an edge in the region does not matter.

    Args:
        smooth: ``(H, W, 3)`` float32, grey levels.
        region: ``(H, W)`` bool; 0 where it is empty.
    """
    if not region.any():
        return 0.0
    medians = [
        float(np.median(np.abs(smooth - np.roll(smooth, shift, (0, 1))).max(axis=2)[region]))
        for shift in SHIFTS
    ]
    return NORMAL_MAD * float(np.median(medians))


def smallest_area(size: tuple[int, int], config: LabelConfig) -> int:
    """Return the pixels that a region of a picture of ``(H, W)`` needs to be no speck."""
    return max(3, round(config.smallest * size[0] * size[1]))


def label_boxes(mask: Mask, config: LabelConfig) -> tuple[Box, ...]:
    """Return a box for each group of near regions; see ``group_boxes``."""
    size = mask.shape[0], mask.shape[1]
    return group_boxes(mask, reach(config.joining, size))


def _smooth(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), SMOOTHING)
    return np.asarray(smooth, np.float32)
