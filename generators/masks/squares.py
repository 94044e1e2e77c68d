"""Squares around defects: where a crop of a fixed size shows them best."""

from __future__ import annotations

from millsight.generators.masks.morphology import Mask, group_boxes, reach
from millsight.generators.samples import Box

# ``(x, y, side)`` in pixels: left upper corner, whole.
Square = tuple[int, int, int]
# Regions this near are one defect; share of the picture's shorter side.
JOINING = 0.03
# A speck is shown with more of its surroundings rather than blown up further.
LARGEST_ZOOM = 4


def squares(mask: Mask, context: float, least: int) -> list[Square]:
    """Return ``(x, y, side)`` of squares that together hold the defects, the largest one first.

    A defect longer than the picture's shorter side is covered by squares of that side in a row.

    Args:
        mask: ``(H, W)`` bool, not empty.
        context: How far a square reaches beyond its defect on each side, as a share of the
            defect's longer side.
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
