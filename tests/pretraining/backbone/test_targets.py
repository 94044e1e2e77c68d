"""Maps as targets: the level of normal surface is taken away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.pretraining.backbone.targets import to_targets

BANK = AnomalyMap("a", "a.png", "cast", 0.5, None, 64, 64, np.zeros((8, 8), np.float16))


def maps(class_score: float | None) -> list[AnomalyMap]:
    """Two categories, of which one lies a whole unit higher; each map has one hot cell."""
    random = np.random.default_rng(0)
    found = []
    for category, level in (("cast", 0.25), ("rolled", 1.25)):
        for number in range(5):
            grid = (level + random.uniform(0, 0.125, (8, 8))).astype(np.float16)
            grid[number, number] = level + 0.5
            found.append(
                replace(
                    BANK, category=category, class_score=class_score, grid=grid, uri=f"{number}"
                )
            )
    return found


def test_a_bank_s_maps_lose_the_median_of_their_category() -> None:
    given = maps(None)
    targets = to_targets(given, None)
    for before, after in zip(given, targets, strict=True):
        number = int(before.uri)
        assert (after.grid == 0).mean() == pytest.approx(0.5, abs=0.15)
        assert after.grid[number, number] == after.grid.max() == pytest.approx(0.44, abs=0.02)
        kept = after.grid > 0
        assert np.ptp((before.grid - after.grid)[kept].astype(float)) < 0.002
    hottest = [target.grid.max() for target in targets]
    assert hottest[0] == pytest.approx(float(hottest[5]), abs=0.02)


def test_maps_with_a_text_term_and_a_floor_of_zero_stay_as_they_are() -> None:
    for given, floor in ((maps(0.5), None), (maps(None), 0.0)):
        for before, after in zip(given, to_targets(given, floor), strict=True):
            assert (before.grid == after.grid).all()


def test_a_floor_is_a_quantile() -> None:
    targets = to_targets(maps(0.5), 0.75)
    assert np.mean([target.grid == 0 for target in targets]) == pytest.approx(0.75, abs=0.02)
