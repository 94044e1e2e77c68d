"""Where a mask may lie on a plate, and how a real one is put there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.generators.masks.morphology import Mask
from millsight.platform.errors import UserError

TRIES = 64
# Of a pixel, covered by a moved mask for the pixel to be in it; hair lines stay connected.
COVERED = 0.35
LEAST_INSIDE = 0.9
Size = tuple[int, int]
Span = tuple[int, int]


@dataclass
class PlacementConfig:
    """Where masks may lie, and how far a real one may be moved from where it was.

    There is no rotation: defects lie along or across the rolling direction.

    Attributes:
        flip: Mirror it, left to right and top to bottom.
        scale: Largest factor of growing or shrinking, at least 1.
        areas: Folder of PNG masks, white where a defect may lie: named like the plate, with the
            same folders above it where names repeat, or ``<category>.png`` for all of them. By
            default a defect may lie anywhere.
        background: What is darker than this grey level and joined to a side of the plate is not
            the part; 0 takes everything for the part.
    """

    flip: bool = True
    scale: float = 1.2
    areas: str | None = None
    background: int = 0

    def check(self) -> None:
        """Refuse what is no scale.

        Raises:
            UserError: Naming the setting.
        """
        if not 1 <= self.scale <= 4:
            raise UserError(f"--placement.scale {self.scale}: from 1 (none) to 4.")
        if not 0 <= self.background < 255:
            raise UserError(f"--placement.background {self.background}: a grey level, 0 to 254.")


@dataclass(frozen=True)
class Placement:
    """One move of a mask, and of the picture it belongs to, onto a plate.

    Attributes:
        factor: Of size; negative mirrors. ``(x, y)``.
        offset: Added after it, ``(x, y)`` in pixels of the plate, between pixel corners.
        size: ``(H, W)`` of the plate.
    """

    factor: tuple[float, float]
    offset: tuple[float, float]
    size: Size

    @property
    def matrix(self) -> NDArray[np.float64]:
        """``(2, 3)``: from pixel centres of the source to those of the plate, as OpenCV has it."""
        (fx, fy), (dx, dy) = self.factor, self.offset
        return np.array([[fx, 0, dx + (fx - 1) / 2], [0, fy, dy + (fy - 1) / 2]])

    @property
    def _window(self) -> tuple[int, int]:
        """``(x, y)`` pixels of the source that one of the plate takes in; 1 for a mild scale."""
        across, down = (max(1, round(1 / abs(factor))) for factor in self.factor)
        return across, down

    def move_picture(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Move ``(h, w, 3)`` uint8 to ``(H, W, 3)``; what it lacks is mirrored at its border."""
        moved = cv2.warpAffine(
            cv2.blur(picture, self._window),
            self.matrix,
            self.size[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        return np.asarray(moved, np.uint8)

    def move_mask(self, mask: Mask) -> Mask:
        """Move ``(h, w)`` bool to ``(H, W)``: the pixels that it covers by a third or more."""
        # A hair line is still one where the picture is shrunk to less than its width.
        wide = cv2.dilate(mask.astype(np.uint8), np.ones(self._window[::-1], np.uint8))
        levels = wide.astype(np.float32)
        covered = cv2.warpAffine(levels, self.matrix, self.size[::-1], flags=cv2.INTER_LINEAR)
        moved: Mask = np.asarray(covered) >= COVERED
        return moved


def place(
    rng: np.random.Generator,
    mask: Mask,
    size: Size,
    config: PlacementConfig,
    allowed: Mask | None = None,
) -> Placement:
    """Draw a place for a mask on a plate.

    One pixel of the source is one of the plate, times a factor drawn log-uniformly; a mask that is
    larger than the plate is shrunk to fit. What touches a side of its picture touches that side of
    the plate, the opposite one where it is mirrored: defects of an edge stay at an edge. What does
    not stays off the sides.

    Args:
        rng: Source of randomness.
        mask: ``(h, w)`` bool, not empty.
        size: ``(H, W)`` of the plate.
        config: What may change.
        allowed: ``(H, W)`` bool, where a mask may lie; everywhere if it is ``None``.

    Raises:
        UserError: If no place drawn keeps nine tenths of the mask in the allowed area.
    """
    best, inside = None, 0.0
    for _ in range(TRIES):
        placement = _draw(rng, mask, size, config)
        moved = placement.move_mask(mask)
        if not moved.any():
            continue
        share = 1.0 if allowed is None else float(allowed[moved].mean())
        if share > inside:
            best, inside = placement, share
        if share == 1:
            break
    if best is None or inside < LEAST_INSIDE:
        raise UserError(
            "a mask fits nowhere into the allowed area of a plate: draw larger areas, or use "
            "--spec.masks procedural."
        )
    return best


def _draw(rng: np.random.Generator, mask: Mask, size: Size, config: PlacementConfig) -> Placement:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tall, wide = mask.shape
    spans = (int(columns[0]), int(columns[-1]) + 1), (int(rows[0]), int(rows[-1]) + 1)
    limit = float(np.log(config.scale))
    scale = float(np.exp(rng.uniform(-limit, limit)))
    for (low, high), room in zip(spans, (size[1], size[0]), strict=True):
        scale = min(scale, room / (high - low))
    mirrored = rng.random(2) < (0.5 if config.flip else 0.0)
    x = _along(rng, spans[0], wide, size[1], -scale if mirrored[0] else scale)
    y = _along(rng, spans[1], tall, size[0], -scale if mirrored[1] else scale)
    return Placement((x[0], y[0]), (x[1], y[1]), size)


def _along(
    rng: np.random.Generator, span: Span, length: int, room: int, factor: float
) -> tuple[float, float]:
    """Draw ``(factor, offset)`` of one axis, so that the moved span lies within the room."""
    ends = sorted(end * factor for end in span)
    at_low, at_high = span[0] == 0, span[1] == length
    if factor < 0:
        at_low, at_high = at_high, at_low
    free = room - (ends[1] - ends[0])
    if at_low and at_high:
        # From side to side: stretched, since another width of steel has the defect all the same.
        whole = room / length
        return (-whole, float(room)) if factor < 0 else (whole, 0.0)
    if at_low or at_high:
        start = 0.0 if at_low else free
    else:
        start = float(rng.integers(1, max(2, int(free)))) if free >= 2 else free / 2
    # Whole pixels, where nothing is scaled, leave the pixels as they are.
    return factor, start - ends[0]
