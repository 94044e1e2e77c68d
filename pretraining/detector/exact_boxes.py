"""Boxes that are known exactly, beside pseudo boxes: of rendered or labelled pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.pictures import PictureError, open_mask
from millsight.platform.catalog.sample import Sample
from millsight.platform.catalog.synthetic import RENDERED
from millsight.platform.errors import UserError
from millsight.pretraining.detector.pictures import BoxedPicture

# Parts of a mask nearer to each other than this share of the picture's longer side are one defect.
JOINING = 0.035


def open_exact(sets: Sequence[str]) -> list[Catalog]:
    """Open labelled sets and keep what a detector may learn from.

    That is the training split, and every split of rendered pictures, of which none is a real part;
    of these, the pictures with boxes or a mask and those known to be good.

    Raises:
        UserError: If one cannot be read, or has no box that may be learnt.
    """
    return [_usable(load_data(path), path) for path in sets]


def read_exact(catalog: Catalog) -> list[BoxedPicture]:
    """Return the pictures with their boxes, all of one class; where there are none, their masks'.

    Raises:
        UserError: If a mask cannot be read.
    """
    return [_boxed(sample) for sample in catalog]


def sample_boxes(sample: Sample) -> NDArray[np.float32]:
    """Return a picture's boxes, those of its mask where it has none: ``(N, 4)`` xyxy pixels.

    Raises:
        UserError: If the mask cannot be read.
    """
    boxes = np.array(sample.boxes, np.float32).reshape(-1, 4)
    if sample.mask_uri is None or len(boxes) or not sample.width or not sample.height:
        return boxes
    try:
        return mask_boxes(open_mask(sample.mask_uri, (sample.width, sample.height)))
    except PictureError as error:
        raise UserError(
            f"mask {sample.mask_uri}: {error}; mend it, or make the set anew."
        ) from None


def mask_boxes(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the bounds of a mask's components, neighbouring ones joined.

    Args:
        mask: ``(H, W)``.

    Returns:
        ``(N, 4)`` as ``(x0, y0, x1, y1)``, pixels, far corner exclusive.
    """
    reach = max(1, round(JOINING * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach + 1, reach + 1))
    joined = cv2.dilate(mask.astype(np.uint8), disc)
    count, parts = cv2.connectedComponents(joined, connectivity=8)
    found = [np.nonzero((parts == part) & mask) for part in range(1, count)]
    corners = [(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in found if len(x)]
    return np.array(corners, np.float32).reshape(-1, 4)


def _usable(catalog: Catalog, path: str) -> Catalog:
    kept = catalog.with_samples(
        sample
        for sample in catalog
        if (sample.split == "train" or sample.synthetic == RENDERED)
        and (sample.boxes or sample.mask_uri or sample.defective is False)
    )
    if not any(sample.boxes or sample.mask_uri for sample in kept):
        raise UserError(
            f"--exact {path}: no picture of its training split has a box or a mask; name a set "
            "that has (see millsight data inspect), for example of `millsight generate procedural`."
        )
    return kept


def _boxed(sample: Sample) -> BoxedPicture:
    boxes = sample_boxes(sample)
    return BoxedPicture(sample.uri, boxes, np.zeros(len(boxes), np.int64), sample.id)
