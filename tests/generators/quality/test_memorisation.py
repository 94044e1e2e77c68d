import numpy as np

from millsight.generators.quality.memorisation import nearest_real
from millsight.generators.quality.sheet import memorisation_sheet
from millsight.platform.contact_sheets import GAP, TEXT, TILE, lay_out


def _at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _distance(degrees: float) -> float:
    return 1 - np.cos(np.radians(degrees))


def test_a_case_by_hand():
    found = nearest_real(_at(0, 30, 90), _at(31, 60.5))
    assert found.nearest.tolist() == [1, 2]
    np.testing.assert_allclose(found.distances, [_distance(1), _distance(29.5)], atol=1e-6)
    np.testing.assert_allclose(found.usual, [_distance(a) for a in (30, 30, 60)], atol=1e-6)
    assert found.closer_than_all == 1
    assert found.rank == 0


def test_pictures_of_one_object_do_not_count_as_different_real_ones():
    found = nearest_real(_at(0, 1, 90), _at(5), np.array(["a", "a", "b"]))
    np.testing.assert_allclose(found.usual, [_distance(a) for a in (90, 89, 89)], atol=1e-6)
    alone = nearest_real(_at(0, 1), _at(5), np.array(["a", "a"])).to_dict()
    assert alone["real_to_real"] == {"0": None, "0.05": None, "0.5": None, "0.95": None}


def test_the_sheet_shows_the_nearest_first_beside_its_real_picture():
    real = [np.full((30, 40, 3), level, np.uint8) for level in (40, 120, 200)]
    generated = [np.full((32, 32, 3), level, np.uint8) for level in (90, 110)]
    found = nearest_real(_at(0, 30, 90), _at(50, 31))
    sheet = lay_out(memorisation_sheet(real, generated, found, most=1))
    assert sheet.shape == (GAP + TEXT + TILE + GAP, GAP + 2 * TILE + GAP, 3)
    middle = GAP + TEXT + TILE // 3
    assert sheet[middle, GAP + TILE // 2, 0] == 110
    assert sheet[middle, GAP + TILE + TILE // 2, 0] == 120
