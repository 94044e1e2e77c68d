"""Contact sheets of a set: what was accepted, and what was not and why."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from millsight.generators.samples import Generated
from millsight.platform.artifacts import Draft
from millsight.platform.contact_sheets import Picture, captioned, fitted, in_rows, write_sheets
from millsight.platform.tracking import Tracker

ACROSS, MOST = 4, 48
OUTLINE = (255, 60, 60)
ACCEPTED, REJECTED = "accepted.jpg", "rejected.jpg"


@dataclass
class Sheets:
    """The first accepted and the first rejected samples, each with its outline drawn."""

    _accepted: list[Picture] = field(default_factory=list)
    _rejected: list[Picture] = field(default_factory=list)

    def add(self, generated: Generated) -> None:
        """Take a sample that has been judged."""
        tiles = self._accepted if generated.accepted else self._rejected
        if len(tiles) < MOST:
            reasons = [verdict.name for verdict in generated.verdicts if not verdict.accepted]
            tiles.append(_tile(generated, ", ".join(reasons) or f"{generated.request.index}"))

    def write(self, draft: Draft, tracker: Tracker) -> None:
        """Write and show those sheets that have something on them."""
        tiles = {ACCEPTED: self._accepted, REJECTED: self._rejected}
        sheets = {name: in_rows(some, ACROSS) for name, some in tiles.items() if some}
        write_sheets(sheets, draft, tracker)


def _tile(generated: Generated, caption: str) -> Picture:
    """The picture, then the picture with its mask's outline and its boxes."""
    plain = fitted(generated.picture)
    marked = plain.copy()
    size = plain.shape[1], plain.shape[0]
    shown = cv2.resize(generated.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(shown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(marked, contours, -1, OUTLINE, 1)
    scale = max(size) / max(generated.mask.shape)
    for box in generated.boxes:
        x0, y0, x1, y1 = (round(value * scale) for value in box)
        cv2.rectangle(marked, (x0, y0), (x1, y1), OUTLINE, 1)
    return captioned(caption, (plain, marked))
