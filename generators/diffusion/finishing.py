"""Filled patches as a picture with its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.generators.diffusion.crops import Levels, fading, lay, to_uint8
from millsight.generators.diffusion.plans import Plan
from millsight.generators.masks.labels import LabelConfig, changed_mask, label_boxes
from millsight.generators.masks.morphology import Mask, distance_to, reach
from millsight.generators.samples import Box


@dataclass(frozen=True)
class Labelled:
    """A picture and where its defect is.

    Attributes:
        picture: ``(H, W, 3)`` uint8.
        mask: ``(H, W)`` bool; empty where nobody knows.
        boxes: ``(x0, y0, x1, y1)`` in pixels, far corner exclusive.
    """

    picture: NDArray[np.uint8]
    mask: Mask
    boxes: tuple[Box, ...] = ()


def finish(plan: Plan, patches: Sequence[Levels], config: LabelConfig) -> Labelled:
    """Make the picture of a plan from its filled patches; one rule for each mode."""
    if plan.picture is None:
        return finish_text(patches[0])
    if plan.request.spec.mode == "inpaint" and plan.mask is not None:
        return finish_inpainting(plan, plan.picture, plan.mask, patches, config)
    return finish_variation(plan, plan.picture, patches, config)


def finish_text(patch: Levels) -> Labelled:
    """Take a patch as the whole picture; where its defect is, nobody knows."""
    return Labelled(to_uint8(patch), np.zeros(patch.shape[:2], np.bool_))


def finish_variation(
    plan: Plan, picture: NDArray[np.uint8], patches: Sequence[Levels], config: LabelConfig
) -> Labelled:
    """Lay patches over a real defect; mask and boxes stay the real ones.

    Args:
        plan: Of a variation.
        picture: ``(H, W, 3)`` uint8, the real one.
        patches: For each square of the plan.
        config: How boxes are read off a mask; where the real picture has no mask but boxes, they
            are taken as they are.
    """
    size = picture.shape[0], picture.shape[1]
    levels = picture.astype(np.float32)
    for patch, square in zip(patches, plan.squares, strict=True):
        lay(levels, patch, square, fading(square, size))
    if plan.mask is None or plan.source is None:
        return Labelled(to_uint8(levels), np.zeros(size, np.bool_))
    boxed = zip(plan.source.boxes, plan.source.box_labels, strict=False)
    own = tuple(box for box, label in boxed if label == plan.request.spec.label)
    drawn = plan.source.mask_uri is not None
    boxes = label_boxes(plan.mask, config) if drawn else own
    return Labelled(to_uint8(levels), plan.mask, boxes)


def finish_inpainting(
    plan: Plan,
    plate: NDArray[np.uint8],
    requested: Mask,
    patches: Sequence[Levels],
    config: LabelConfig,
) -> Labelled:
    """Lay patches onto a plate within the grown mask; what stands out is the defect.

    Whatever does not stand out is the plate again: outside of the final mask no bit differs.

    Args:
        plan: Of an inpainting.
        plate: ``(H, W, 3)`` uint8, the clean picture.
        requested: ``(H, W)`` bool, the mask that was asked for.
        patches: For each square of the plan.
        config: What stands out, and how boxes are read off it.
    """
    size = plate.shape[0], plate.shape[1]
    around = _around(requested, reach(config.dilation, size))
    levels = plate.astype(np.float32)
    for patch, square in zip(patches, plan.squares, strict=True):
        lay(levels, patch, square, fading(square, size) * around)
    picture = to_uint8(levels)
    mask = changed_mask(picture, plate, requested, config)
    whole = np.where(mask[..., None], picture, plate)
    return Labelled(whole, mask, label_boxes(mask, config))


def _around(mask: Mask, dilation: int) -> Levels:
    """Share ``(H, W)`` of the patch: 1 in the mask, falling to 0 beyond the dilation."""
    return (1 - distance_to(mask) / (dilation + 1)).clip(0, 1).astype(np.float32)
