"""Pictures for the report: reduced JPEG data URIs, and outlines as SVG geometry."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.pixels import resize_map
from millsight.evaluation.reports.record import Box, PredictedMask, ReportPicture

_COLORMAP = cv2.COLORMAP_TURBO
_JPEG_QUALITY = 82
_VALUES_PER_MAP = 4096


@dataclass(frozen=True, slots=True)
class ColorScale:
    """Map values that get the first and the last colour, shared by a category's pictures."""

    low: float
    high: float

    @classmethod
    def of(cls, maps: Sequence[NDArray[np.floating]]) -> ColorScale:
        """From the 2nd to the 99.9th percentile of all values: one hot pixel dims nothing."""
        samples = [_thin(np.asarray(m, dtype=np.float32).ravel()) for m in maps]
        values = np.concatenate(samples) if samples else np.zeros(1, np.float32)
        low, high = np.quantile(values, (0.02, 0.999))
        return cls(float(low), float(max(high, low + 1e-12)))

    def levels(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Map values to colour indices 0..255."""
        share = np.clip((values - self.low) / (self.high - self.low), 0, 1)
        return np.asarray((share * 255).round(), dtype=np.uint8)


PROBABILITIES = ColorScale(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Overlay:
    """One picture ready for the template; geometry in pixels of the reduced picture.

    Attributes:
        width: Of the reduced picture.
        height: Of the reduced picture.
        picture: JPEG data URI.
        heat: JPEG data URI of the coloured map, or ``None`` without map.
        outline: SVG path data around the true defect, empty without one.
        predicted: SVG path data around the predicted defect, empty without one.
        boxes: ``(x, y, width, height)`` of each predicted box.
        true_boxes: The same of each true box.
    """

    width: int
    height: int
    picture: str
    heat: str | None
    outline: str
    predicted: str
    boxes: tuple[Box, ...]
    true_boxes: tuple[Box, ...]


def draw_overlay(source: ReportPicture, scale: ColorScale, longest_side: int) -> Overlay:
    """Load, reduce and encode one picture with its map, masks and boxes.

    Raises:
        OSError: If the picture cannot be read any more.
        PictureError: If it does not decode.
        UserError: If a mask cannot be read or does not fit the picture.
    """
    picture = source.picture()
    height, width = picture.shape[:2]
    factor = min(1.0, longest_side / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    reduced = np.asarray(
        cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    found = None if source.predicted is None else source.predicted()
    return Overlay(
        width=size[1],
        height=size[0],
        picture=jpeg_uri(reduced),
        heat=_heat(source, found, scale, size),
        outline="" if source.mask is None else outline_path(source.mask(), size),
        predicted="" if found is None else outline_path(found.mask, size),
        boxes=tuple(_reduced_box(box, factor) for box in source.boxes),
        true_boxes=tuple(_reduced_box(box, factor) for box in source.true_boxes),
    )


def _heat(
    source: ReportPicture, found: PredictedMask | None, scale: ColorScale, size: tuple[int, int]
) -> str | None:
    """Colour the anomaly map, or else the mask's probabilities."""
    if source.anomaly_map is not None:
        return jpeg_uri(color(scale.levels(resize_map(source.anomaly_map, size))))
    if found is None or found.probability is None:
        return None
    return jpeg_uri(color(PROBABILITIES.levels(resize_map(found.probability, size))))


def color(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W)`` uint8 colour indices to ``(H, W, 3)`` uint8 RGB."""
    return np.asarray(cv2.applyColorMap(levels, _COLORMAP)[..., ::-1], dtype=np.uint8)


def jpeg_uri(picture: NDArray[np.uint8]) -> str:
    """``(H, W, 3)`` uint8 RGB to a JPEG data URI."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def outline_path(mask: NDArray[np.bool_], size: tuple[int, int]) -> str:
    """SVG path data around every region of a mask.

    Args:
        mask: ``(h, w)`` bool.
        size: ``(H, W)`` of the picture as it is shown; the path is in its pixels. A pixel that the
            mask touches at all is inside, so that cracks thinner than a pixel stay visible.
    """
    cover = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    inside = np.asarray(cover > 0, dtype=np.uint8)
    found, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    # Contours run through pixel centres; half a pixel on is where the pixel is drawn.
    rings = (" ".join(f"{x + 0.5:g},{y + 0.5:g}" for x, y in ring[:, 0].tolist()) for ring in found)
    return " ".join(f"M{ring}Z" for ring in rings)


def color_bar() -> str:
    """JPEG data URI of the colour scale, lowest value left."""
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None], 8, axis=0)
    return jpeg_uri(color(levels))


def _reduced_box(box: Box, factor: float) -> Box:
    x0, y0, x1, y1 = (round(float(edge) * factor, 2) for edge in box)
    return x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)


def _thin(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[:: max(1, values.size // _VALUES_PER_MAP)]
