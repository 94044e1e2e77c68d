"""Maps with rectangular blobs of one value, to find boxes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform.artifacts import Artifact

MakeMaps = Callable[[Sequence[AnomalyMap]], Artifact]


def blank(height: int = 100, width: int = 120) -> np.ndarray:
    return np.zeros((height, width), dtype=np.float32)


def with_blobs(shape: tuple[int, int], blobs: Sequence[tuple[int, int, int, int, float]]) -> Any:
    anomaly_map = blank(*shape)
    for x, y, width, height, value in blobs:
        anomaly_map[y : y + height, x : x + width] = value
    return anomaly_map


def a_map(name: str, grid: np.ndarray, score: float, category: str = "plate") -> AnomalyMap:
    height, width = grid.shape
    return AnomalyMap(
        sample_id=name,
        uri=f"pictures/{name}.png",
        category=category,
        score=score,
        class_score=None,
        width=width,
        height=height,
        grid=grid.astype(np.float16),
    )
