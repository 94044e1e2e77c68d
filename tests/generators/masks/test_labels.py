"""The final mask is what stands out from the plate's own texture, where it was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from defect_materials import line, steel

from millsight.generators.masks.labels import (
    LabelConfig,
    changed_mask,
    label_boxes,
    texture_deviation,
)
from millsight.generators.masks.morphology import dilate, reach
from millsight.platform.errors import UserError

SIZE = (96, 128)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(
    ("width", "deviation"), [(1, 2), (1, 6), (3, 2), (3, 6), (3, 12), (9, 2), (9, 6), (9, 12)]
)
def test_a_defect_in_fresh_texture_is_found_whole(width: int, deviation: float) -> None:
    defect = line(SIZE, (30, 40), (90, 55), width)
    requested = dilate(defect, 4)
    plate = steel(0, SIZE, deviation=deviation)
    picture = np.where(requested[:, :, None], steel(1, SIZE, deviation=deviation), plate)
    picture[defect] = 30
    found = changed_mask(picture, plate, requested, LabelConfig())
    assert (found & defect).sum() == defect.sum()
    # The smoothing widens a hair line by about a pixel on each side, and nothing wider.
    assert overlap(found, dilate(defect, 1) if width == 1 else defect) > 0.85
    assert len(label_boxes(found, LabelConfig())) == 1


@pytest.mark.parametrize("deviation", [1, 6, 12])
def test_fresh_texture_alone_is_no_defect(deviation: float) -> None:
    requested = line(SIZE, (30, 40), (90, 55), 15)
    plate = steel(0, SIZE, deviation=deviation)
    shares = []
    for seed in range(1, 9):
        fresh = steel(seed, SIZE, deviation=deviation)
        picture = np.where(requested[:, :, None], fresh, plate)
        shares.append(changed_mask(picture, plate, requested, LabelConfig()).sum())
    assert np.mean(shares) < 0.02 * requested.sum()


def test_nothing_counts_outside_the_dilated_request_and_specks_do_not() -> None:
    plate = steel(0, SIZE)
    requested = line(SIZE, (30, 40), (60, 40), 5)
    allowed = dilate(requested, reach(LabelConfig().dilation, SIZE))
    picture = plate.copy()
    picture[38:42, 35:50] = 20
    picture[70:90, 70:120] = 250
    found = changed_mask(picture, plate, requested, LabelConfig())
    assert found.any()
    assert not (found & ~allowed).any()
    large = LabelConfig(smallest=0.02)
    assert not changed_mask(picture, plate, requested, large).any()
    assert not changed_mask(plate, plate, requested, LabelConfig()).any()
    nothing = np.zeros_like(requested)
    assert not changed_mask(picture, plate, nothing, LabelConfig()).any()


def test_the_deviation_is_that_of_the_texture_not_of_a_scratch_in_it() -> None:
    rough = steel(0, SIZE, deviation=10).astype(np.float32)
    everywhere = np.ones(SIZE, bool)
    plain = texture_deviation(rough, everywhere)
    assert 10 < plain < 18  # The difference of two draws: 10 times the root of 2, less overlap.
    rough[40:44] = 255
    assert texture_deviation(rough, everywhere) == pytest.approx(plain, rel=0.15)
    assert texture_deviation(rough, ~everywhere) == 0


@pytest.mark.parametrize(
    ("name", "value"), [("dilation", 1.0), ("joining", -0.1), ("smallest", 2), ("deviations", 0)]
)
def test_settings_that_label_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"--labels\.{name}"):
        LabelConfig(**{name: value}).check()
