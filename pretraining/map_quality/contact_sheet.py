"""A picture to look at before training: pictures above their maps, category by category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.evaluation.reports.overlay import color
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.contact_sheets import tile_size

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


def contact_sheet(chosen: Mapping[str, Sequence[AnomalyMap]]) -> list[Sequence[Rgb]]:
    """Return two rows of tiles per category: pictures, and their maps in one scale of colour."""
    return [row for maps in chosen.values() for row in _rows(maps)]


def picture_tile(uri: str, size: tuple[int, int]) -> Rgb:
    """Reduce a picture of ``(width, height)`` to a tile; grey where it cannot be read any more."""
    reduced = tile_size(*size)
    try:
        found = cv2.resize(open_picture(uri), reduced, interpolation=cv2.INTER_AREA)
    except PictureError:
        # The sheet is for looking at; extraction has named what cannot be read.
        return np.full((reduced[1], reduced[0], 3), 128, np.uint8)
    return np.asarray(found, dtype=np.uint8)


def heat_tile(
    grid: NDArray[np.floating[Any]],
    size: tuple[int, int],
    low: float | None = None,
    high: float | None = None,
) -> Rgb:
    """Colour a map over a picture of ``(width, height)``, from ``low`` to ``high``.

    Without them, from the map's own lowest value to its highest.
    """
    low = float(grid.min()) if low is None else low
    high = float(grid.max()) if high is None else high
    values = cv2.resize(grid.astype(np.float32), tile_size(*size), interpolation=cv2.INTER_LINEAR)
    share = (values - low) / max(high - low, float(np.finfo(np.float32).tiny))
    return color((share.clip(0, 1) * 255).astype(np.uint8))


def _rows(maps: Sequence[AnomalyMap]) -> tuple[list[Rgb], list[Rgb]]:
    low = min(float(item.grid.min()) for item in maps)
    high = max(float(item.grid.max()) for item in maps)
    pictures = [picture_tile(item.uri, (item.width, item.height)) for item in maps]
    heats = [heat_tile(item.grid, (item.width, item.height), low, high) for item in maps]
    return pictures, heats
