"""Real defects: their pictures, masks and classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from millsight.generators.masks.morphology import Mask
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.pictures import PictureError, open_mask, open_picture
from millsight.platform.catalog.sample import GOOD, Sample
from millsight.platform.errors import UserError

KEPT = 64


@lru_cache(maxsize=KEPT)
def real_picture(sample: Sample) -> NDArray[np.uint8]:
    """Decode a picture of the materials: ``(H, W, 3)`` uint8 RGB, not to be written to.

    Raises:
        UserError: If it does not decode.
    """
    try:
        picture = open_picture(sample.uri)
    except PictureError as error:
        raise UserError(f"{sample.uri}: {error}. Mend it or take it out of --data.") from None
    picture.flags.writeable = False
    return picture


@lru_cache(maxsize=KEPT)
def real_mask(sample: Sample, label: str) -> Mask | None:
    """Return the pixels of a real defect, not to be written to.

    Where nobody drew a mask, the boxes of the class count whole: a box is drawn tight around its
    defect, and an ellipse in it would cut the ends off a scratch that runs from corner to corner.

    Args:
        sample: A defective picture.
        label: Its class; boxes of other classes are left out.

    Returns:
        ``(H, W)`` bool with at least one pixel; ``None`` where nothing says where the defect is.

    Raises:
        UserError: If a mask does not decode or does not fit its picture.
    """
    height, width = real_picture(sample).shape[:2]
    if sample.mask_uri is not None:
        try:
            mask = open_mask(sample.mask_uri, (width, height))
        except PictureError as error:
            raise UserError(f"{sample.mask_uri}: {error}. Mend it or take it out.") from None
    else:
        mask = np.zeros((height, width), np.bool_)
        for (x0, y0, x1, y1), name in zip(sample.boxes, sample.box_labels, strict=True):
            if name == label:
                mask[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = True
    mask.flags.writeable = False
    return mask if mask.any() else None


def with_masks(defects: Sequence[Sample], label: str) -> tuple[tuple[Sample, Mask], ...]:
    """Return the defects of the class whose place is known, each with its mask.

    Raises:
        UserError: If there is none, saying what there is instead.
    """
    if not defects:
        raise UserError(
            f"--spec.label {label}: the training split has no picture of this class to learn from; "
            "see: millsight data inspect"
        )
    found = ((sample, real_mask(sample, label)) for sample in defects)
    placed = tuple((sample, mask) for sample, mask in found if mask is not None)
    if not placed:
        raise UserError(
            f"--spec.label {label}: none of its {len(defects)} training pictures says where the "
            "defect is, by a mask or by boxes. Draw masks for some, or use --spec.mode variation."
        )
    return placed


def of_split(catalog: Catalog, split: str) -> list[Sample]:
    """Return the pictures of a split; those that were made out of others teach nothing new."""
    return [sample for sample in catalog.where(split=split) if not sample.derived]


def shows(sample: Sample, label: str) -> bool:
    """Say whether a picture shows a defect of a class."""
    return sample.label == label or label in sample.box_labels


def defect_classes(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the defect classes of pictures and boxes, in alphabetical order."""
    found = {sample.label for sample in samples if sample.label is not None}
    boxed = {label for sample in samples for label in sample.box_labels}
    return tuple(sorted((found | boxed) - {GOOD}))
