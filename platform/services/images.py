"""Pictures and overlays as browsers show them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import cv2
import numpy as np
from fastapi import Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

THUMBNAIL_SIDE = 256
OVERLAY_SIDE = 1024
THUMBNAIL_QUALITY, FULL_QUALITY = 80, 95
# Blue and orange are told apart in every kind of colour blindness; BGR and opacity.
BLUE = (255, 140, 20, 150)
ORANGE = (20, 130, 255, 150)
EDGE_OPACITY = 255
CACHE = "private, max-age=86400"


class PictureQuery(BaseModel):
    """How a picture is sent.

    Attributes:
        size: thumbnail for at most 256 pixels a side, or full.
    """

    model_config = ConfigDict(extra="forbid")
    size: str = Field(default="full", pattern="^(thumbnail|full)$")


def image_headers(tag: str) -> dict[str, str]:
    """Return what lets a browser keep a picture, for its own user only."""
    return {
        "ETag": tag,
        "Cache-Control": CACHE,
        "Vary": "Authorization, Cookie",
        "X-Content-Type-Options": "nosniff",
    }


def not_modified(tag: str) -> Response:
    """Answer a browser that has the picture already."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=image_headers(tag))


def reduced(picture: NDArray[Any], longest: int) -> NDArray[Any]:
    """Shrink a picture or a map whose longer side has more than ``longest`` pixels."""
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def thumbnail(picture: NDArray[np.uint8]) -> bytes:
    """Encode ``(H, W, 3)`` RGB as a JPEG of at most 256 pixels a side."""
    return jpeg(reduced(picture, THUMBNAIL_SIDE), THUMBNAIL_QUALITY)


def jpeg(picture: NDArray[Any], quality: int = FULL_QUALITY) -> bytes:
    """Encode ``(H, W, 3)`` RGB as JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)[1].tobytes()


def png(picture: NDArray[np.uint8]) -> bytes:
    """Encode grey, BGR, or BGR with opacity as PNG."""
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def overlay(mask: NDArray[np.bool_], colour: tuple[int, int, int, int]) -> bytes:
    """Fill a mask and draw its edge; a pixel that it touches at all is inside, however thin.

    Args:
        mask: ``(H, W)``.
        colour: BGR and opacity.

    Returns:
        A PNG of at most 1,024 pixels a side, transparent where nothing is.
    """
    inside = (reduced(mask.astype(np.float32), OVERLAY_SIDE) > 0).astype(np.uint8)
    picture = np.zeros((*inside.shape, 4), np.uint8)
    picture[inside > 0] = colour
    edge = inside - cv2.erode(inside, np.ones((3, 3), np.uint8))
    picture[edge > 0] = (*colour[:3], EDGE_OPACITY)
    return png(picture)
