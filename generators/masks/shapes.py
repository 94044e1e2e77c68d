"""Drawn masks: the outlines of procedural defects, as large and as long as a class's real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from millsight.evaluation.metrics.masks import DefectShape, defect_shape
from millsight.generators.masks.morphology import Mask
from millsight.generators.procedural.defects import DEFECTS
from millsight.generators.procedural.surfaces import Surface

DRAWS = 8
LONG = 2.0
UNKNOWN = "inclusion"
# The sheet's edge is a side of the picture for this one.
AT_EDGE = "edge_break"
Size = tuple[int, int]


@dataclass(frozen=True)
class RealShape:
    """What a drawn mask is to agree with.

    Attributes:
        area: Share of its picture.
        course: Of its long axis, radians from x towards y (down); ``None`` for a round one.
    """

    area: float
    course: float | None


@dataclass(frozen=True)
class ClassShape:
    """What drawn masks of a class look like.

    Attributes:
        defect: One of the procedural ``DEFECTS``.
        real: Its real masks; there may be none.
    """

    defect: str
    real: tuple[RealShape, ...] = ()


def shape_of(label: str, masks: Sequence[Mask]) -> ClassShape:
    """Choose how to draw masks of a class.

    A class whose name holds that of a procedural defect is drawn as that one. Another is drawn by
    its real masks' medians: many regions as scale; long ones as scratches; large ones (a twentieth
    of the picture) as patches; small ones (a five-hundredth) as pits; the rest as inclusions, and
    so is a class without real masks.

    Args:
        label: Class, as in the data.
        masks: Of its real defects, each ``(H, W)`` bool and not empty.
    """
    measured = [(mask, defect_shape(mask)) for mask in masks]
    real = tuple(
        RealShape(float(mask.mean()), course(mask) if shape.elongation > LONG else None)
        for mask, shape in measured
    )
    plain = label.lower().replace(" ", "_").replace("-", "_")
    named = next((name for name in DEFECTS if name in plain), None)
    return ClassShape(named or _by_measure([shape for _, shape in measured], real), real)


def course(mask: Mask) -> float:
    """Return the angle of a mask's long axis, radians from x towards y (down), in [0, pi)."""
    rows, columns = np.nonzero(mask)
    scatter = np.atleast_2d(np.cov(columns, rows, bias=True))
    vector = np.linalg.eigh(scatter)[1][:, 1]
    return math.atan2(vector[1], vector[0]) % math.pi


def draw_shape(rng: np.random.Generator, shape: ClassShape, size: Size) -> Mask:
    """Draw one mask: of several draws, the one nearest a real mask in area and course.

    Args:
        rng: Source of randomness.
        shape: What to draw.
        size: ``(H, W)`` of the plate.

    Returns:
        ``(H, W)`` bool, not empty.
    """
    wanted = shape.real[int(rng.integers(len(shape.real)))] if shape.real else None
    angle = math.pi / 2 if wanted is None or wanted.course is None else wanted.course
    drawn: list[Mask] = []
    while not drawn:
        found = [_draw(rng, shape.defect, size, angle) for _ in range(DRAWS if wanted else 1)]
        drawn = [mask for mask in found if mask.any()]
    return drawn[0] if wanted is None else min(drawn, key=lambda mask: _apart(mask, wanted))


def _apart(mask: Mask, wanted: RealShape) -> float:
    """Logarithm of the areas' ratio, and a factor of e for courses at a right angle."""
    turned = 0.0 if wanted.course is None else abs(math.sin(course(mask) - wanted.course))
    return abs(math.log(float(mask.mean()) / wanted.area)) + turned


def _draw(rng: np.random.Generator, defect: str, size: Size, angle: float) -> Mask:
    plain = np.ones(size, np.float32)
    depth, normal = np.full(size, 1e4, np.float32), (1.0, 0.0)
    if defect == AT_EDGE:
        depth, normal = _side(size, int(rng.integers(4)))
    surface = Surface("rolled", plain, 0 * plain, angle, depth, normal)
    return DEFECTS[defect](rng, surface).mask & (depth > 0)


def _side(size: Size, side: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Depth behind one side of the picture, and the direction into it."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) + 0.5
    depth = (x, size[1] - x, y, size[0] - y)[side]
    return depth, ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))[side]


def _by_measure(shapes: Sequence[DefectShape], real: Sequence[RealShape]) -> str:
    if not shapes:
        return UNKNOWN
    if np.median([shape.n_regions for shape in shapes]) > 5:
        return "scale"
    if np.median([shape.elongation for shape in shapes]) > 4:
        return "scratch"
    area = float(np.median([shape.area for shape in real]))
    if area > 0.05:
        return "patch"
    return "pit" if area < 0.002 else UNKNOWN
