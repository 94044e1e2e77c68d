"""The area of a plate in which a defect may lie."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.aupro import label_regions
from millsight.generators.masks.morphology import Mask
from millsight.generators.masks.placement import PlacementConfig
from millsight.platform import storage
from millsight.platform.catalog.pictures import PictureError, open_mask
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

FOLDERS = 2


def allowed_area(plate: Sample, picture: NDArray[np.uint8], config: PlacementConfig) -> Mask | None:
    """Return where a defect may lie on a plate.

    Args:
        plate: The good picture.
        picture: ``(H, W, 3)`` uint8, its pixels.
        config: ``areas`` and ``background``.

    Returns:
        ``(H, W)`` bool; ``None`` means everywhere.

    Raises:
        UserError: If the plate has no mask in ``areas``, or one that does not fit it.
    """
    area = None if config.areas is None else _open(plate, picture, config.areas)
    if config.background == 0:
        return area
    part = ~border_regions(picture.max(axis=2) < config.background)
    return part if area is None else area & part


def border_regions(mask: Mask) -> Mask:
    """Return the 8-connected regions of a mask that touch a side; ``(H, W)`` bool."""
    regions, areas = label_regions(np.ascontiguousarray(mask))
    touching = np.zeros(areas.size + 1, np.bool_)
    for side in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        touching[side] = True
    touching[0] = False
    found: Mask = touching[regions]
    return found


def _open(plate: Sample, picture: NDArray[np.uint8], folder: str) -> Mask:
    path = PurePosixPath(storage.filesystem(plate.uri)[1]).with_suffix(".png")
    names = ["/".join(path.parts[-depth:]) for depth in range(FOLDERS + 1, 0, -1)]
    height, width = picture.shape[:2]
    for name in (*names, f"{plate.category}.png"):
        address = f"{folder.rstrip('/')}/{name}"
        fs, local = storage.filesystem(address)
        if fs.exists(local):
            try:
                return open_mask(address, (width, height))
            except PictureError as error:
                raise UserError(f"--placement.areas: {address}: {error}.") from None
    raise UserError(
        f"--placement.areas {folder} has neither {names[-1]} nor {plate.category}.png for "
        f"{plate.uri}: draw one, white where a defect may lie."
    )
