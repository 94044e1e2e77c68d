import numpy as np
import pytest

from millsight.evaluation.steeldefectx.attributes import (
    CELLS,
    mask_attributes,
    polarity_of,
    saliency_of,
    scale_of,
)
from millsight.platform.errors import UserError


def _square(side: int = 100) -> tuple[np.ndarray, np.ndarray]:
    return np.full((side, side), 100, np.uint8), np.zeros((side, side), bool)


@pytest.mark.parametrize(
    ("share", "name"),
    [
        (0.0099, "tiny"), (0.01, "small"), (0.0299, "small"), (0.03, "medium"),
        (0.0999, "medium"), (0.10, "large"), (0.25, "large"), (0.2501, "extensive"),
    ],
)  # fmt: skip
def test_scale_bounds(share, name):
    assert scale_of(share) == name


@pytest.mark.parametrize(
    ("contrast", "name"), [(-5.1, "dark"), (-5, "neutral"), (5, "neutral"), (5.1, "bright")]
)
def test_polarity_bounds(contrast, name):
    assert polarity_of(contrast) == name


@pytest.mark.parametrize(
    ("contrast", "name"),
    [(9.9, "low"), (-9.9, "low"), (10, "medium"), (-40, "medium"), (40.1, "high"), (-41, "high")],
)
def test_saliency_bounds(contrast, name):
    assert saliency_of(contrast) == name


def test_contrast_is_inside_less_outside():
    picture, mask = _square()
    mask[40:60, 40:60] = True
    picture[mask] = 79
    measured = mask_attributes(picture, mask)
    assert (measured.scale, measured.polarity, measured.saliency) == ("medium", "dark", "medium")
    picture[mask] = 141
    measured = mask_attributes(picture, mask)
    assert (measured.polarity, measured.saliency) == ("bright", "high")


@pytest.mark.parametrize(
    ("count", "name"), [(1, "one"), (2, "two"), (4, "four"), (5, "five"), (6, "multiple")]
)
def test_number_of_components(count, name):
    picture, mask = _square()
    for index in range(count):
        mask[10 * index : 10 * index + 5, 50:55] = True
    assert mask_attributes(picture, mask).number == name


def test_diagonal_neighbours_are_one_component():
    picture, mask = _square()
    mask[10, 10] = mask[11, 11] = True
    assert mask_attributes(picture, mask).number == "one"


def test_position_orders_cells_by_share():
    picture, mask = _square(90)
    mask[0:30, 60:90] = True
    mask[45, 45:50] = True
    mask[80, 0:5] = True
    position = mask_attributes(picture, mask).position
    assert [cell for cell, _ in position] == ["top-right", "center", "bottom-left"]
    assert sum(share for _, share in position) == pytest.approx(1.0)
    assert position[0][1] == pytest.approx(900 / 910)


def test_every_cell_is_named_where_it_is():
    for index, name in enumerate(CELLS):
        picture, mask = _square(91)
        mask[15 + 30 * (index // 3), 15 + 30 * (index % 3)] = True
        assert mask_attributes(picture, mask).position == ((name, 1.0),)


def test_soft_masks_count_above_127():
    picture, mask = _square()
    soft = np.where(mask, 255, 0).astype(np.uint8)
    soft[50:60, 50:60] = 128
    soft[10:40, 10:40] = 127
    measured = mask_attributes(picture, soft)
    assert (measured.scale, measured.number) == ("small", "one")


def test_an_empty_mask_has_no_attributes():
    picture, mask = _square()
    with pytest.raises(UserError, match="empty"):
        mask_attributes(picture, mask)


def test_a_full_mask_has_no_contrast():
    picture, _ = _square()
    measured = mask_attributes(picture, np.ones((100, 100), bool))
    assert (measured.scale, measured.polarity, measured.saliency) == ("extensive", "neutral", "low")
