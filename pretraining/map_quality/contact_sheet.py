"""A picture to look at before training: pictures above their maps, category by category."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.evaluation.reports.overlay import color
from millsight.platform.catalog.pictures import PictureError, open_picture

TILE = 160
GAP = 6
PER_CATEGORY = 8

Rgb = NDArray[np.uint8]


def choose(maps: Iterable[AnomalyMap], n: int = PER_CATEGORY) -> dict[str, list[AnomalyMap]]:
    """Take ``n`` maps of every category, evenly spaced in their order, by one pass."""
    chosen: dict[str, list[AnomalyMap]] = {}
    step: dict[str, int] = {}
    seen: dict[str, int] = {}
    for item in maps:
        name = item.category
        kept, spacing = chosen.setdefault(name, []), step.setdefault(name, 1)
        if seen.setdefault(name, 0) % spacing == 0:
            kept.append(item)
        seen[name] += 1
        if len(kept) == 2 * n:
            chosen[name] = kept[::2]
            step[name] *= 2
    return {name: chosen[name][:n] for name in sorted(chosen)}


def contact_sheet(chosen: dict[str, Sequence[AnomalyMap]]) -> bytes:
    """Draw two rows per category: the pictures, and their maps in one scale of colour.

    Returns:
        A JPEG.
    """
    rows = [row for maps in chosen.values() for row in _rows(maps)]
    width = max(len(row) for row in rows) * (TILE + GAP) + GAP
    sheet = np.full((len(rows) * (TILE + GAP) + GAP, width, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            top, left = GAP + y * (TILE + GAP), GAP + x * (TILE + GAP)
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "JPEG", quality=85)
    return file.getvalue()


def _rows(maps: Sequence[AnomalyMap]) -> tuple[list[Rgb], list[Rgb]]:
    low = min(float(item.grid.min()) for item in maps)
    high = max(float(item.grid.max()) for item in maps)
    span = max(high - low, float(np.finfo(np.float32).tiny))
    pictures, heats = [], []
    for item in maps:
        factor = TILE / max(item.width, item.height)
        size = max(1, round(item.width * factor)), max(1, round(item.height * factor))
        pictures.append(_picture(item.uri, size))
        height = (item.upsample(size[1], size[0]) - low) / span
        heats.append(color((height.clip(0, 1) * 255).astype(np.uint8)))
    return pictures, heats


def _picture(uri: str, size: tuple[int, int]) -> Rgb:
    try:
        reduced = cv2.resize(open_picture(uri), size, interpolation=cv2.INTER_AREA)
    except PictureError:
        # The sheet is for looking at; extraction has named what cannot be read.
        return np.full((size[1], size[0], 3), 128, np.uint8)
    return np.asarray(reduced, dtype=np.uint8)
