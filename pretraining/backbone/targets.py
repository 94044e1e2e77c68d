"""Anomaly maps as targets of attention: without what every normal surface has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from millsight.evaluation.anomaly_maps import AnomalyMap

# Half of all the patches of a category are taken for normal surface.
BANK_FLOOR = 0.5


def to_targets(maps: Sequence[AnomalyMap], floor: float | None) -> list[AnomalyMap]:
    """Take away the level of a category's normal surface; what lies below it becomes 0.

    A map with a text term is a probability, near 0 where nothing is wrong. One of a memory bank
    alone is a distance, and a normal patch has one too. Attention has no such level, and taught
    with it, it learns to be even: see README.md for what that costs. A map that is 0 everywhere
    teaches nothing.

    Args:
        maps: Of any categories.
        floor: Quantile of all values of a category that is its level; 0 leaves the maps as they
            are. ``None`` is 0.5 for maps of a memory bank alone and 0 for all others.

    Returns:
        The same maps in the same order, their grids float16.
    """
    values: dict[str, list[np.ndarray]] = defaultdict(list)
    for item in maps:
        values[item.category].append(item.grid.ravel())
    levels = {}
    for category, grids in values.items():
        alone = all(item.class_score is None for item in maps if item.category == category)
        share = (BANK_FLOOR if alone else 0.0) if floor is None else floor
        levels[category] = float(np.quantile(np.concatenate(grids), share)) if share else 0.0
    return [
        replace(item, grid=np.maximum(item.grid - np.float16(levels[item.category]), 0))
        if levels[item.category]
        else item
        for item in maps
    ]
