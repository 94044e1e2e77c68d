"""Contact sheets of a set: what was accepted, and what was not and why."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.generators.samples import Generated
from millsight.platform import storage
from millsight.platform.artifacts import Draft

SIDE, CAPTION, ACROSS, MOST = 160, 18, 8, 48
OUTLINE = (255, 60, 60)
ACCEPTED, REJECTED = "accepted.jpg", "rejected.jpg"


@dataclass
class Sheets:
    """The first accepted and the first rejected samples, each with its outline drawn."""

    _accepted: list[NDArray[np.uint8]] = field(default_factory=list)
    _rejected: list[NDArray[np.uint8]] = field(default_factory=list)

    def add(self, generated: Generated) -> None:
        """Take a sample that has been judged."""
        tiles = self._accepted if generated.accepted else self._rejected
        if len(tiles) < MOST:
            reasons = [verdict.name for verdict in generated.verdicts if not verdict.accepted]
            tiles.append(_tile(generated, ", ".join(reasons) or f"{generated.request.index}"))

    def write(self, draft: Draft) -> None:
        """Write those sheets that have something on them."""
        for name, tiles in ((ACCEPTED, self._accepted), (REJECTED, self._rejected)):
            if tiles:
                _, jpeg = cv2.imencode(".jpg", _join(tiles)[..., ::-1])
                storage.write_bytes(draft.file(name), jpeg.tobytes())


def _tile(generated: Generated, caption: str) -> NDArray[np.uint8]:
    """The picture, then the picture with its mask's outline; ``(H, W, 3)`` of one size."""
    height, width = generated.picture.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    plain = cv2.resize(generated.picture, size, interpolation=cv2.INTER_AREA)
    marked = plain.copy()
    shown = cv2.resize(generated.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(shown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(marked, contours, -1, OUTLINE, 1)
    for x0, y0, x1, y1 in generated.boxes:
        corners = [round(value * scale) for value in (x0, y0, x1, y1)]
        cv2.rectangle(marked, tuple(corners[:2]), tuple(corners[2:]), OUTLINE, 1)
    tile = np.full((SIDE + CAPTION, 2 * SIDE, 3), 255, np.uint8)
    tile[: size[1], : size[0]] = plain
    tile[: size[1], SIDE : SIDE + size[0]] = marked
    place = 3, SIDE + CAPTION - 5
    cv2.putText(tile, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


def _join(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    across = ACROSS // 2
    blank = np.full_like(tiles[0], 255)
    filled = tiles + [blank] * (-len(tiles) % across)
    lines = [np.hstack(filled[at : at + across]) for at in range(0, len(filled), across)]
    return np.vstack(lines)
