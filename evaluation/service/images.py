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
from millsight.platform.services.problems import ProblemError

THUMBNAIL_SIDE = 256
OVERLAY_SIDE = 1024
THUMBNAIL_QUALITY, FULL_QUALITY = 80, 95
# Blue and orange are told apart in every kind of colour blindness; BGR and opacity.
PREDICTION = (20, 130, 255, 150)
TRUTH = (255, 140, 20, 150)
EDGE_OPACITY = 255


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
            data = _jpeg(_reduced(_pixels(row), THUMBNAIL_SIDE), THUMBNAIL_QUALITY)
            storage.write_bytes(path, data)
            return data

    def full(self, row: PictureResult) -> bytes:
        """Return a JPEG of the picture's own size, without what its file said besides."""
        return _jpeg(_pixels(row), FULL_QUALITY)

    def truth(self, row: PictureResult) -> bytes:
        """Return the true mask as an overlay: a PNG, transparent where nothing is."""
        mask = true_mask(row)
        if mask is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "This picture has no true mask.")
        return _overlay(mask, TRUTH)

    def prediction(self, mask: Path, row: PictureResult, threshold: float | None) -> bytes:
        """Return a predicted mask as an overlay."""
        return _overlay(_predicted(mask, row, threshold), PREDICTION)

    def map(self, mask: Path, row: PictureResult) -> bytes:
        """Return a predicted probability map as an overlay: the surer, the more opaque."""
        share = _share(open_predicted(str(mask), (row.width, row.height)))
        levels = np.rint(_fit(share) * 255).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
        opacity = np.minimum(levels, 200)
        return _png(np.dstack([colours, opacity]))


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


def _overlay(mask: NDArray[np.bool_], colour: tuple[int, int, int, int]) -> bytes:
    """Fill a mask and draw its edge; a pixel that it touches at all is inside, however thin."""
    inside = (_fit(mask.astype(np.float32)) > 0).astype(np.uint8)
    picture = np.zeros((*inside.shape, 4), np.uint8)
    picture[inside > 0] = colour
    edge = inside - cv2.erode(inside, np.ones((3, 3), np.uint8))
    picture[edge > 0] = (*colour[:3], EDGE_OPACITY)
    return _png(picture)


def _fit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(_reduced(values, OVERLAY_SIDE), np.float32)


def _reduced(picture: NDArray[Any], longest: int) -> NDArray[Any]:
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _jpeg(picture: NDArray[Any], quality: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)[1].tobytes()


def _png(picture: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
