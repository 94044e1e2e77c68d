"""Contact sheets: tiles of pictures in rows, for people to look at."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from millsight.platform import storage
from millsight.platform.artifacts import Draft
from millsight.platform.tracking import Tracker

Picture = NDArray[np.uint8]
Item = TypeVar("Item")
TILE = 160
GAP = 6
TEXT = 14
QUALITY = 90


def tile_size(width: int, height: int) -> tuple[int, int]:
    """Return ``(width, height)`` of a picture whose longer side is scaled to ``TILE``."""
    factor = TILE / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def fitted(picture: Picture) -> Picture:
    """Scale ``(H, W, 3)`` so that its longer side has ``TILE`` pixels."""
    height, width = picture.shape[:2]
    how = cv2.INTER_AREA if max(height, width) > TILE else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, tile_size(width, height), interpolation=how), np.uint8)


def captioned(text: str, pictures: Sequence[Picture]) -> Picture:
    """Put pictures, ``(h, w, 3)`` of at most ``TILE`` a side, beside each other below a text."""
    tile = np.full((TEXT + TILE, TILE * len(pictures), 3), 255, np.uint8)
    place = 2, TEXT - 4
    cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        tile[TEXT : TEXT + height, number * TILE : number * TILE + width] = picture
    return tile


def in_rows(items: Sequence[Item], columns: int) -> list[Sequence[Item]]:
    """Cut a sequence into rows."""
    return [items[at : at + columns] for at in range(0, len(items), columns)]


def lay_out(rows: Sequence[Sequence[Picture]]) -> Picture:
    """Lay out tiles on white, each in a place as large as the largest: ``(H, W, 3)`` uint8.

    Args:
        rows: ``(h, w, 3)`` uint8 tiles, at least one.
    """
    sizes = [tile.shape[:2] for row in rows for tile in row]
    down, right = (max(edges) + GAP for edges in zip(*sizes, strict=True))
    width = max(len(row) for row in rows) * right + GAP
    sheet = np.full((len(rows) * down + GAP, width, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            top, left = GAP + y * down, GAP + x * right
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def write_sheets(
    sheets: Mapping[str, Sequence[Sequence[Picture]]], draft: Draft, tracker: Tracker
) -> None:
    """Write sheets into an artifact, and show them to those who watch the run.

    Args:
        sheets: Rows of tiles by the name of the JPEG.
        draft: The artifact.
        tracker: Of the run.
    """
    drawn = {name: lay_out(rows) for name, rows in sheets.items()}
    for name, sheet in drawn.items():
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, "JPEG", quality=QUALITY)
        storage.write_bytes(draft.file(name), file.getvalue())
    if drawn:
        tracker.log_pictures("sheets", drawn)
