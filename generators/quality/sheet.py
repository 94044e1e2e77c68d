"""Contact sheets: pictures side by side with a line of text, for people to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from millsight.generators.quality.memorisation import NearestReal

Picture = NDArray[np.uint8]
TILE = 160
GAP = 6
TEXT = 14


def draw_sheet(tiles: Sequence[tuple[str, Sequence[Picture]]], columns: int = 4) -> bytes:
    """Draw tiles on white, row by row.

    Args:
        tiles: Text and pictures of each, at least one; all of the same number of pictures, which
            stand side by side, ``(H, W, 3)`` uint8 of any sizes.
        columns: Tiles in a row.

    Returns:
        A JPEG.
    """
    drawn = [_tile(text, pictures) for text, pictures in tiles]
    blank = np.full_like(drawn[0], 255)
    drawn += [blank] * (-len(drawn) % columns)
    rows = [np.concatenate(drawn[at : at + columns], 1) for at in range(0, len(drawn), columns)]
    file = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(file, "JPEG", quality=90)
    return file.getvalue()


def memorisation_sheet(
    real: Sequence[Picture], generated: Sequence[Picture], found: NearestReal, most: int = 24
) -> bytes:
    """Draw generated pictures, the nearest to a real one first, each with that real one beside it.

    Under each: its distance, and the distance of that real picture to its own nearest one.

    Args:
        real: The M that ``found`` speaks of.
        generated: The N.
        found: Of ``nearest_real``.
        most: Generated pictures to draw.

    Returns:
        A JPEG.
    """
    tiles = []
    for number in np.argsort(found.distances, kind="stable")[:most]:
        own = int(found.nearest[number])
        text = f"{number}: {found.distances[number]:.3f}, real {found.usual[own]:.3f}"
        tiles.append((text, (generated[number], real[own])))
    return draw_sheet(tiles)


def _tile(text: str, pictures: Sequence[Picture]) -> Picture:
    shown = np.concatenate([_fitted(picture) for picture in pictures], axis=1)
    line = np.full((TEXT, shown.shape[1], 3), 255, np.uint8)
    cv2.putText(line, text, (2, TEXT - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1)
    tile = np.concatenate([line, shown])
    return np.pad(tile, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def _fitted(picture: Picture) -> Picture:
    """Scale a picture into a square of ``TILE``, on white."""
    height, width = picture.shape[:2]
    factor = TILE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    square = np.full((TILE, TILE, 3), 255, np.uint8)
    square[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=how)
    return square
