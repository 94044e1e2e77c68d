"""Vector shapes to coverage: strokes of changing width and blobs with a wavering outline."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from millsight.generators.procedural.noise import Field, Size, profile

Points = npt.NDArray[np.float64]
_SHIFT = 4  # bits of sub-pixel position in OpenCV's fixed-point coordinates


@dataclass(frozen=True)
class Stroke:
    """A line of changing width and tone.

    Attributes:
        points: (K, 2) xy in pixels.
        widths: (K,) full width in pixels.
        tones: (K,) 0 to 1, how strongly each stretch shows.
    """

    points: Points
    widths: Points
    tones: Points


def _oversampling(size: Size) -> int:
    """Fine steps per pixel: small pictures need more for hair lines to stay smooth."""
    if min(size) <= 160:
        return 4
    return 2


def _fixed(points: Points, step: int) -> npt.NDArray[np.int32]:
    # Pixel centres are at whole numbers; on the fine grid they lie (step - 1) / 2 further on.
    fine = points * step + (step - 1) / 2
    return np.round(fine * (1 << _SHIFT)).astype(np.int32)


def _shrink(fine: npt.NDArray[np.uint8], size: Size) -> Field:
    shrunk = cv2.resize(fine, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return shrunk.astype(np.float32) / 255.0


def draw_strokes(size: Size, strokes: list[Stroke]) -> tuple[Field, Field]:
    """Rasterise strokes.

    Args:
        size: (height, width) in pixels.
        strokes: what to draw; parts outside the picture are cut off.

    Returns:
        coverage and tone, both float32 (height, width) in 0 to 1. Tone is coverage times the
        stroke's own tone.
    """
    step = _oversampling(size)
    coverage = np.zeros((size[0] * step, size[1] * step), np.uint8)
    tone = np.zeros_like(coverage)
    for stroke in strokes:
        tangent = np.gradient(stroke.points, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        across = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * stroke.widths[:, None] / 2
        left = _fixed(stroke.points + across, step)
        right = _fixed(stroke.points - across, step)
        quads = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)
        for quad, value in zip(quads, stroke.tones, strict=False):
            cv2.fillConvexPoly(coverage, quad, 255, shift=_SHIFT)
            cv2.fillConvexPoly(tone, quad, int(255 * min(max(value, 0.0), 1.0)), shift=_SHIFT)
    return _shrink(coverage, size), _shrink(tone, size)


def draw_hairs(size: Size, paths: Points, widths: Points, tones: Points) -> tuple[Field, Field]:
    """Rasterise many short lines of even width at once.

    Args:
        size: (height, width) in pixels.
        paths: (R, K, 2) xy in pixels.
        widths: (R,) pixels.
        tones: (R,) 0 to 1; drawn in steps of a quarter.

    Returns:
        coverage and tone as `draw_strokes`.
    """
    step = _oversampling(size)
    coverage = np.zeros((size[0] * step, size[1] * step), np.uint8)
    tone = np.zeros_like(coverage)
    fixed = _fixed(paths, step)
    thickness = np.maximum(np.round(widths * step), 1).astype(int)
    quarters = np.clip(np.round(tones * 4), 1, 4).astype(int)
    for thick, quarter in sorted(set(zip(thickness.tolist(), quarters.tolist(), strict=True))):
        group = list(fixed[(thickness == thick) & (quarters == quarter)])
        cv2.polylines(coverage, group, False, 255, thick, shift=_SHIFT)
        cv2.polylines(tone, group, False, 255 * quarter // 4, thick, shift=_SHIFT)
    return _shrink(coverage, size), _shrink(tone, size)


def draw_outlines(size: Size, outlines: list[Points], tones: list[float]) -> tuple[Field, Field]:
    """Rasterise filled outlines, each (K, 2) xy pixels, to coverage and tone as `draw_strokes`."""
    step = _oversampling(size)
    coverage = np.zeros((size[0] * step, size[1] * step), np.uint8)
    tone = np.zeros_like(coverage)
    for outline, value in zip(outlines, tones, strict=True):
        fixed = [_fixed(outline, step)]
        cv2.fillPoly(coverage, fixed, 255, shift=_SHIFT)
        cv2.fillPoly(tone, fixed, int(255 * min(max(value, 0.0), 1.0)), shift=_SHIFT)
    return _shrink(coverage, size), _shrink(tone, size)


def blob(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radius: float,
    *,
    aspect: float = 1.0,
    angle: float = 0.0,
    roughness: float = 0.25,
) -> Points:
    """A closed outline around `centre`.

    Args:
        rng: source of randomness.
        centre: xy in pixels.
        radius: mean radius in pixels.
        aspect: length over width.
        angle: direction of the long axis, radians from x towards y (down).
        roughness: 0 is an ellipse, 0.5 is torn.

    Returns:
        float64 (K, 2) xy in pixels.
    """
    turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    harmonics = np.arange(2, 12)
    weights = roughness * rng.standard_normal(10) / harmonics**0.8
    phases = rng.uniform(0, 2 * math.pi, 10)
    wave = (weights[:, None] * np.cos(harmonics[:, None] * turn + phases[:, None])).sum(axis=0)
    distance = radius * np.maximum(1.0 + wave, 0.25)
    along = distance * np.cos(turn) * math.sqrt(aspect)
    across = distance * np.sin(turn) / math.sqrt(aspect)
    cos, sin = math.cos(angle), math.sin(angle)
    x = centre[0] + along * cos - across * sin
    y = centre[1] + along * sin + across * cos
    return np.stack([x, y], axis=1)


def straight_path(
    rng: np.random.Generator,
    centre: tuple[float, float],
    length: float,
    angle: float,
    *,
    bow: float = 0.0,
    tremble: float = 0.0,
    count: int = 28,
) -> Points:
    """A path through `centre`: (count, 2) xy pixels, `bow` and `tremble` in parts of its length."""
    t = np.linspace(-0.5, 0.5, count)
    aside = length * (bow * (0.25 - t**2) * 4 + tremble * profile(rng, count, count // 3))
    cos, sin = math.cos(angle), math.sin(angle)
    x = centre[0] + t * length * cos - aside * sin
    y = centre[1] + t * length * sin + aside * cos
    return np.stack([x, y], axis=1)
