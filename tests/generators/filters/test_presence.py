from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_defects import CONFIG, SIZE, make

from millsight.generators.filters.looks import Candidate, Looks
from millsight.generators.filters.presence import AnomalyFilter, DifferenceFilter, standing_out
from millsight.generators.samples import Generated

NO_LOOKS = Looks(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32))


def darkness(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """An anomaly map, 8 x 8: how dark it is."""
    small = [cv2.resize(picture, (8, 8), interpolation=cv2.INTER_AREA) for picture in pictures]
    return [(255 - one.mean(axis=2)).astype(np.float32) for one in small]


def _judge(sample: Generated, scorer: object = darkness) -> tuple[bool, float]:
    (verdict,) = AnomalyFilter(scorer).judge([Candidate(sample, NO_LOOKS)])
    return verdict.accepted, verdict.value


def test_a_map_has_to_rise_in_the_mask():
    sample = make(1, "scratch")
    accepted, value = _judge(sample)
    assert accepted
    assert value > 0
    assert sample.plate is not None
    assert _judge(replace(sample, picture=sample.plate)) == (False, 0)
    elsewhere = replace(sample, picture=sample.plate.copy(), mask=np.zeros(SIZE, np.bool_))
    elsewhere.picture[60:, 60:] = 0
    elsewhere.mask[:20, :20] = True
    assert _judge(elsewhere) == (False, 0)


def test_the_mean_of_a_map_is_weighted_by_the_mask():
    # A cell is 12 x 12 pixels: the mask covers one wholly, and a quarter of the next one.
    sample = make(1, "pit")
    mask = np.zeros(SIZE, np.bool_)
    mask[:12, :15] = True
    sample = replace(sample, picture=np.zeros((*SIZE, 3), np.uint8), mask=mask)

    def known(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        grids = [np.full((8, 8), 9, np.float32) for _ in pictures]
        for picture, grid in zip(pictures, grids, strict=True):
            grid[0, :2] = (5, 1) if not picture.any() else (2, 3)
        return grids

    assert _judge(sample, known)[1] == pytest.approx((3 * 1 - 2 * 0.25) / 1.25)


def test_samples_without_a_plate_are_not_judged_and_do_not_shift_the_others():
    batch = [make(0, "pit", plate=None), make(1, "scratch"), make(2, "pit", plate=None)]
    found = AnomalyFilter(darkness).judge([Candidate(sample, NO_LOOKS) for sample in batch])
    assert [verdict.abstained for verdict in found] == [True, False, True]
    assert found[1].value == _judge(batch[1])[1]


def test_a_defect_is_measured_in_the_plates_own_texture():
    rng = np.random.default_rng(0)
    plate = rng.normal(128, 8, (*SIZE, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    mask = np.zeros(SIZE, np.bool_)
    mask[30:60, 30:60] = True
    found = []
    for shift in (0, 10, 40):
        picture = plate.copy()
        picture[mask] += np.uint8(shift)
        found.append(standing_out(make(0, "pit", picture=picture, mask=mask), plate))
    assert found[0] == (0, 0)
    assert 1 < found[1][0] < found[2][0]
    assert found[2][1] < 0.01


def test_a_soft_shade_counts_although_the_texture_is_stronger():
    rng = np.random.default_rng(1)
    plate = rng.normal(128, 30, (*SIZE, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    mask = np.zeros(SIZE, np.bool_)
    mask[16:80, 16:80] = True
    picture = plate.copy()
    picture[mask] = (picture[mask].astype(int) - 10).clip(0, 255)
    sample = make(0, "pit", picture=picture, mask=mask, plate=plate)
    (verdict,) = DifferenceFilter(CONFIG).judge([Candidate(sample, NO_LOOKS)])
    assert verdict.accepted, verdict.reason
