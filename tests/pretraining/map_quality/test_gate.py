"""Faulty maps are told from good ones, each fault by its own measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform.contact_sheets import lay_out
from millsight.platform.errors import UserError
from millsight.pretraining.map_quality.contact_sheet import PER_CATEGORY, choose, contact_sheet
from millsight.pretraining.map_quality.gate import find_faults, require_fit
from millsight.pretraining.map_quality.measures import measure_maps

SIDE = 16
Grids = Callable[[np.random.Generator], np.ndarray]


def good(rng: np.random.Generator) -> np.ndarray:
    """A low floor with one hot spot that is somewhere else in every map."""
    grid = rng.normal(0.1, 0.01, (SIDE, SIDE))
    y, x = rng.integers(1, SIDE - 3, 2)
    grid[y : y + 2, x : x + 2] += 0.5
    return grid


def flat(rng: np.random.Generator) -> np.ndarray:
    return np.full((SIDE, SIDE), rng.random())


def everywhere(rng: np.random.Generator) -> np.ndarray:
    grid = np.full((SIDE, SIDE), 0.1)
    grid[rng.random(grid.shape) < 0.7] = 0.5
    return grid + rng.normal(0, 0.05, grid.shape)


def clipped(rng: np.random.Generator) -> np.ndarray:
    return np.minimum(rng.random((SIDE, SIDE)), 0.6)


def border(rng: np.random.Generator) -> np.ndarray:
    grid = rng.normal(0.1, 0.005, (SIDE, SIDE))
    inside = grid[1:-1, 1:-1].copy()
    grid += 0.5 * rng.random(grid.shape)
    grid[1:-1, 1:-1] = inside
    return grid


def same(rng: np.random.Generator) -> np.ndarray:
    return np.add.outer(np.arange(SIDE), np.arange(SIDE)) ** 3 + rng.normal(0, 1, (SIDE, SIDE))


def maps(grids: Grids, n: int = 40, uri: str = "gone.png") -> list[AnomalyMap]:
    rng = np.random.default_rng(0)
    return [
        AnomalyMap(str(i), uri, "steel", 1.0, None, 64, 48, grids(rng).astype(np.float16))
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("grids", "fault"),
    [
        (flat, "flat"),
        (everywhere, "coverage"),
        (clipped, "saturation"),
        (border, "border"),
        (same, "sameness"),
    ],
)
def test_each_fault_is_found_by_its_measure(grids: Grids, fault: str) -> None:
    found = maps(grids)
    faults = find_faults(measure_maps(lambda: found))
    assert f"steel: {fault} " in " ".join(faults)


def test_good_maps_pass() -> None:
    found = maps(good)
    faults = find_faults(measure_maps(lambda: found))
    assert faults == []
    require_fit(faults, "--maps runs/maps", "sheet.jpg")


def test_values_that_are_not_finite_are_counted_and_count_nowhere_else() -> None:
    found = maps(good)
    whole = measure_maps(lambda: found)[0]
    bad = found[0].grid.copy()
    bad[0, 0] = np.inf
    broken = AnomalyMap("x", "gone.png", "steel", 1.0, None, 64, 48, bad)
    (measured,) = measure_maps(lambda: [*found, broken])
    assert (measured.broken, measured.pictures) == (1, 41)
    assert measured.coverage == whole.coverage
    with pytest.raises(UserError, match=r"(?s)--maps runs/maps.*broken 1 .*--gate false"):
        require_fit(find_faults([measured]), "--maps runs/maps", "sheet.jpg")


def test_no_boxes_and_boxes_as_large_as_the_picture_are_faults() -> None:
    rows = {
        "cast": {"pictures": 9, "boxes": 0, "area_histogram": [0, 0]},
        "rolled": {"pictures": 9, "boxes": 4, "area_histogram": [1, 3]},
        "ground": {"pictures": 9, "boxes": 4, "area_histogram": [3, 1]},
    }
    faults = find_faults([], {"categories": rows})
    assert [fault.partition(":")[0] for fault in faults] == ["cast", "rolled"]


def test_measures_by_hand() -> None:
    grid = np.zeros((4, 4), np.float16)
    grid[1, 1], grid[0, 0] = 1.0, 0.5
    (measured,) = measure_maps(lambda: [AnomalyMap("0", "", "steel", 1, None, 4, 4, grid)])
    # Energies: 0.25 in a ring of 12 cells, 1 in 4 cells inside.
    assert measured.border == pytest.approx((0.25 / 12) / (1 / 4))
    assert measured.saturation == 1 / 16
    # The floor is 0, the mean maximum 1: only cells above 0.5 count.
    assert measured.coverage == 1 / 16
    assert np.isnan(measured.sameness)


def test_a_sheet_shows_evenly_spaced_pictures_and_outlives_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "plate.png"
    Image.new("RGB", (64, 48), (200, 10, 10)).save(path)
    chosen = choose(maps(good, 100, str(path)))
    assert len(chosen["steel"]) == PER_CATEGORY
    numbers = [int(item.sample_id) for item in chosen["steel"]]
    assert len(set(np.diff(numbers))) == 1
    assert numbers[-1] > 50
    assert lay_out(contact_sheet(chosen))[60, 60].tolist() == [200, 10, 10]
    assert lay_out(contact_sheet({"steel": maps(good, 2)}))[60, 60].tolist() == [128, 128, 128]
