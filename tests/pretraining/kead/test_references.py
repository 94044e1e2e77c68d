from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.pretraining.kead.config import AUGMENTATIONS, KeADConfig
from millsight.pretraining.kead.references import augment, choose_references, order_unlabelled


def samples() -> list[Sample]:
    good = [
        Sample(f"g{i}", f"g{i}.png", "pipe", "train", group=f"part{i // 3}", label="good")
        for i in range(12)
    ]
    return [
        *good,
        Sample("b", "b.png", "pipe", "train", label="crack"),
        Sample("u", "u.png", "pipe", "train"),
        Sample("t", "t.png", "pipe", "test", label="good"),
    ]


def test_only_good_training_pictures_of_different_objects_are_drawn() -> None:
    chosen = choose_references(samples(), KeADConfig(k=4))["pipe"]
    assert len({sample.group for sample in chosen}) == 4
    assert {sample.id[0] for sample in chosen} == {"g"}


def test_the_draw_depends_on_the_seed_alone_and_is_nested() -> None:
    first = choose_references(samples(), KeADConfig(k=4))["pipe"]
    again = choose_references(samples()[::-1], KeADConfig(k=4))["pipe"]
    assert first == again
    assert choose_references(samples(), KeADConfig(k=2))["pipe"] == first[:2]
    draws = {
        tuple(s.id for s in choose_references(samples(), KeADConfig(k=4, seed=seed))["pipe"])
        for seed in range(5)
    }
    assert len(draws) > 1


def test_official_takes_all_and_zero_takes_none() -> None:
    assert len(choose_references(samples(), KeADConfig(k=1, compat="official"))["pipe"]) == 12
    assert choose_references(samples(), KeADConfig(k=0)) == {"pipe": []}


def test_too_few_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"--kead\.k 13: .*; pipe has 12\."):
        choose_references(samples(), KeADConfig(k=13))


def test_augmented_copies() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    copies = dict(zip(("same", *AUGMENTATIONS), augment(picture, AUGMENTATIONS), strict=True))
    assert np.array_equal(copies["same"], picture)
    assert np.array_equal(copies["hflip"][:, ::-1], picture)
    assert np.array_equal(copies["vflip"][::-1], picture)
    assert copies["rot90"].shape == (7, 5, 3)
    assert np.array_equal(np.rot90(copies["rot270"]), picture)
    assert copies["darker"].mean() < picture.mean() < copies["brighter"].mean()
    assert all(copy.dtype == np.uint8 for copy in copies.values())


def test_config_names_every_problem_at_once() -> None:
    with pytest.raises(UserError) as caught:
        KeADConfig(k=-1, layers=0, augment=("turn",), templates=("no place",))
    assert str(caught.value).count("\n") == 3


def test_unlabelled_pictures_are_drawn_without_a_look_at_labels() -> None:
    config = KeADConfig(unlabelled=6)
    first = order_unlabelled(samples(), config)["pipe"]
    blank = [replace(sample, label=None, split=None, mask_uri="m.png") for sample in samples()]
    assert [s.id for s in order_unlabelled(blank[::-1], config)["pipe"]] == [s.id for s in first]
    assert len(first) == len(samples())
    # Four parts and three pictures of no known part.
    assert len({sample.group or sample.id for sample in first[:7]}) == 7
    assert order_unlabelled(samples(), KeADConfig(unlabelled=6, seed=1))["pipe"] != first


def test_equal_files_count_once() -> None:
    copies = [replace(sample, uri=f"copy-{sample.uri}") for sample in samples()]
    found = order_unlabelled([*samples(), *copies], KeADConfig())["pipe"]
    assert sorted(s.id for s in found) == sorted(s.id for s in samples())
