"""Which pictures of an epoch are synthetic ones."""

from __future__ import annotations

from collections import Counter

import pytest
from torch.utils.data import Dataset

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.pretraining.downstream.extra import (
    MixedPictures,
    as_settings,
    check_label,
    stand_ins,
)

REAL = [("pit",), (), ("scratch",), ("pit", "dent"), ("dent",)]
SYNTHETIC = [("pit",), ("pit",), ("dent",)]


class Keys(Dataset):
    def __getitem__(self, key):
        return key


def shown(share: float, epochs: int = 400, seed: int = 0) -> dict[int, Counter[int]]:
    mixed = MixedPictures(Keys(), stand_ins(REAL, SYNTHETIC), share, seed)
    assert len(mixed) == len(REAL)
    return {i: Counter(mixed[epoch, i][1] for epoch in range(epochs)) for i in range(len(REAL))}


def test_only_pictures_of_the_class_stand_in():
    found = shown(0.5)
    assert set(found[0]) == {0, 5, 6}
    assert set(found[1]) == {1}
    assert set(found[2]) == {2}
    assert set(found[3]) == {3, 5, 6, 7}
    assert set(found[4]) == {4, 7}


def test_the_share_says_how_often_and_the_seed_when():
    assert 0.43 < shown(0.5)[0][0] / 400 < 0.57
    assert 0.15 < shown(0.8)[0][0] / 400 < 0.25
    assert 0 not in shown(1.0)[0]
    assert shown(0.5) == shown(0.5)
    assert shown(0.5) != shown(0.5, seed=1)


def test_the_epoch_comes_with_the_picture():
    mixed = MixedPictures(Keys(), stand_ins(REAL, SYNTHETIC), 0.5, 0)
    assert {mixed[7, index][0] for index in range(len(REAL))} == {7}


def test_settings_and_labels():
    assert as_settings([], 0.5) == {}
    with pytest.raises(UserError, match=r"--extra_share 1\.5"):
        as_settings([], 1.5)
    with pytest.raises(UserError, match="shows 'rust'; the labelled pictures have pit"):
        check_label("rust", {"pit": 0}, Sample("a", "a.png", "steel"))
