"""Square crops around defects, with their masks: what a base model is adapted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.generators.diffusion.crops import Square, cut, cut_mask, is_grey
from millsight.generators.masks.morphology import Mask, dilate, group_boxes, reach
from millsight.generators.masks.sources import real_mask, real_picture
from millsight.generators.samples import Box
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import GOOD, Sample
from millsight.platform.catalog.synthetic import RENDERED
from millsight.platform.errors import UserError

Progress = Callable[[int, int], None]
# Regions this near are one defect; share of the picture's shorter side.
JOINING = 0.03
# A speck is shown with more of its surroundings rather than blown up further.
LARGEST_ZOOM = 4


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


def shows(sample: Sample, label: str) -> bool:
    """Say whether a picture shows a defect of a class."""
    return sample.label == label or label in sample.box_labels


def defect_classes(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the defect classes of pictures and boxes, in alphabetical order."""
    found = {sample.label for sample in samples if sample.label is not None}
    boxed = {label for sample in samples for label in sample.box_labels}
    return tuple(sorted((found | boxed) - {GOOD}))


def of_split(catalog: Catalog, split: str) -> list[Sample]:
    """Return the pictures of a split; those that were generated before teach nothing new."""
    own = catalog.where(split=split).samples
    return [sample for sample in own if sample.synthetic in (None, RENDERED)]


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


def squares(mask: Mask, context: float, least: int) -> list[Square]:
    """Return ``(x, y, side)`` of squares that together hold the defects, the largest one first.

    A defect longer than the picture's shorter side is covered by squares of that side in a row.

    Args:
        mask: ``(H, W)`` bool, not empty.
        context: As for ``cut_crops``.
        least: Smallest side, pixels, where the picture has as much.
    """
    height, width = mask.shape
    boxes = group_boxes(mask, reach(JOINING, (height, width)))
    found: list[Square] = []
    for box in sorted(boxes, key=_longer, reverse=True):
        longer = _longer(box)
        side = min(height, width, max(1, least, round(longer * (1 + 2 * context))))
        for x, y in _centres(box, max(1, round(longer / side))):
            left = min(max(0, round(x - side / 2)), width - side)
            top = min(max(0, round(y - side / 2)), height - side)
            shown = mask[top : top + side, left : left + side].any()
            if shown and not any(_holds(square, box) for square in found):
                found.append((left, top, side))
    return found


def grown(crop: Crop, dilation: float) -> Mask:
    """Return the crop's mask grown by a share of its side; ``(S, S)`` bool."""
    return dilate(crop.mask, dilation * len(crop.mask))


def all_grey(crops: Sequence[Crop]) -> bool:
    """Say whether no crop has any colour."""
    return all(is_grey(crop.picture) for crop in crops)


def _longer(box: Box) -> float:
    x0, y0, x1, y1 = box
    return max(x1 - x0, y1 - y0)


def _centres(box: Box, count: int) -> list[tuple[float, float]]:
    """Centres of ``count`` equal parts of a box, along its longer side."""
    x0, y0, x1, y1 = box
    shares = [(at + 0.5) / count for at in range(count)]
    if x1 - x0 >= y1 - y0:
        return [(x0 + share * (x1 - x0), (y0 + y1) / 2) for share in shares]
    return [((x0 + x1) / 2, y0 + share * (y1 - y0)) for share in shares]


def _holds(square: Square, box: Box) -> bool:
    x, y, side = square
    return x <= box[0] and y <= box[1] and box[2] <= x + side and box[3] <= y + side
