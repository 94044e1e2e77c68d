"""Pictures, thumbnails and overlays as browsers show them."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.results import PictureResult
from millsight.evaluation.results.masks import open_predicted
from millsight.evaluation.results.truth import true_mask
from millsight.evaluation.service.datasets import Dataset
from millsight.platform import storage
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.services.images import (
    BLUE,
    ORANGE,
    OVERLAY_SIDE,
    jpeg,
    overlay,
    png,
    reduced,
    thumbnail,
)
from millsight.platform.services.problems import ProblemError

PREDICTION, TRUTH = ORANGE, BLUE
MOST_OPAQUE = 200


class Images:
    """Makes pictures for browsers; thumbnails are kept on disk.

    Args:
        folder: Directory for thumbnails.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def thumbnail(self, dataset: Dataset, row: PictureResult) -> bytes:
        """Return a JPEG of at most 256 pixels a side."""
        path = self._folder / dataset.fingerprint[:16] / f"{row.sample_id}.jpg"
        try:
            return path.read_bytes()
        except FileNotFoundError:
            data = thumbnail(_pixels(row))
            storage.write_bytes(path, data)
            return data

    def full(self, row: PictureResult) -> bytes:
        """Return a JPEG of the picture's own size, without what its file said besides."""
        return jpeg(_pixels(row))

    def truth(self, row: PictureResult) -> bytes:
        """Return the true mask as an overlay: a PNG, transparent where nothing is."""
        mask = true_mask(row)
        if mask is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "This picture has no true mask.")
        return overlay(mask, TRUTH)

    def prediction(self, mask: Path, row: PictureResult, threshold: float | None) -> bytes:
        """Return a predicted mask as an overlay."""
        return overlay(_predicted(mask, row, threshold), PREDICTION)

    def map(self, mask: Path, row: PictureResult) -> bytes:
        """Return a predicted probability map as an overlay: the surer, the more opaque."""
        share = _share(open_predicted(str(mask), (row.width, row.height)))
        levels = np.rint(reduced(share, OVERLAY_SIDE) * 255).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
        opacity = np.minimum(levels, MOST_OPAQUE)
        return png(np.dstack([colours, opacity]))


def _pixels(row: PictureResult) -> NDArray[np.uint8]:
    try:
        return open_picture(row.uri)
    except PictureError as error:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"The picture cannot be read any more: {error}."
        ) from None


def _predicted(mask: Path, row: PictureResult, threshold: float | None) -> NDArray[np.bool_]:
    values = open_predicted(str(mask), (row.width, row.height))
    if threshold is None:
        return np.asarray(values > 0)
    return np.asarray(_share(values) >= np.float32(threshold))


def _share(values: NDArray[Any]) -> NDArray[np.float32]:
    top = 1 if values.max() <= 1 else np.iinfo(values.dtype).max
    return np.asarray(values / np.float32(top), np.float32)
