"""Square crops around defects, with their masks: what a base model is adapted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.generators.diffusion.crops import cut, cut_mask
from millsight.generators.masks.morphology import Mask, dilate
from millsight.generators.masks.sources import (
    defect_classes,
    of_split,
    real_mask,
    real_picture,
    shows,
)
from millsight.generators.masks.squares import LARGEST_ZOOM, squares
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.pictures import is_grey
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Crop:
    """A square cut out of a picture.

    Attributes:
        picture: ``(S, S, 3)`` uint8 RGB.
        mask: ``(S, S)`` bool, the defect; all of it where nothing says where the defect is.
        label: Class.
        sample_id: Of the picture.
    """

    picture: NDArray[np.uint8]
    mask: Mask
    label: str
    sample_id: str


def choose(catalog: Catalog, labels: Sequence[str], split: str, least: int) -> list[Sample]:
    """Return the pictures of a split that show one of the classes.

    Raises:
        UserError: If a class has fewer than ``least``.
    """
    own = of_split(catalog, split)
    for label in labels:
        found = sum(shows(sample, label) for sample in own)
        if found < least:
            there = ", ".join(defect_classes(own)) or "no defects"
            raise UserError(
                f"--data {catalog.uri}: {found or 'no'} pictures of {label!r} in the {split} split "
                f"(which has {there}); at least {least} are needed. Divide the pictures with "
                "`millsight data split`, or choose among the classes with --training.labels."
            )
    return [sample for sample in own if any(shows(sample, label) for label in labels)]


def cut_crops(
    samples: Sequence[Sample],
    labels: Sequence[str],
    side: int,
    *,
    context: float,
    most: int,
    progress: Progress,
) -> list[Crop]:
    """Cut out the defects of the classes.

    No crop is enlarged more than ``LARGEST_ZOOM`` times, unless the picture itself is smaller.

    Args:
        samples: Pictures.
        labels: Classes.
        side: Of the crops, pixels; they are scaled to it.
        context: How far a crop reaches beyond its defect on each side, as a share of the defect's
            longer side.
        most: Crops of one picture and class; the largest defects come first.
        progress: Called with pictures done and pictures in all.

    Raises:
        UserError: If a picture cannot be read any more.
    """
    crops = []
    for done, sample in enumerate(samples, 1):
        picture = real_picture(sample)
        for label in (label for label in labels if shows(sample, label)):
            known = real_mask(sample, label)
            mask = np.ones(picture.shape[:2], np.bool_) if known is None else known
            chosen = squares(mask, context, max(1, side // LARGEST_ZOOM))[:most]
            crops += [
                Crop(cut(picture, square, side), cut_mask(mask, square, side), label, sample.id)
                for square in chosen
            ]
        progress(done, len(samples))
    return crops


def grown(crop: Crop, dilation: float) -> Mask:
    """Return the crop's mask grown by a share of its side; ``(S, S)`` bool."""
    return dilate(crop.mask, dilation * len(crop.mask))


def all_grey(crops: Sequence[Crop]) -> bool:
    """Say whether no crop has any colour."""
    return all(is_grey(crop.picture) for crop in crops)
