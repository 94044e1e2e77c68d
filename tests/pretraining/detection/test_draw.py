"""Few labelled pictures from many."""

from __future__ import annotations

import pytest

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.pretraining.downstream.detection.draw import draw

FLAG = "--training.labelled"


def samples(counts: dict[str, int], per_group: int = 3) -> list[Sample]:
    """Coils of three pictures each, of one class."""
    return [
        Sample(
            f"{label}-{i}", f"{label}-{i}.png", "steel", "train", f"{label}-{i // per_group}", label
        )
        for label, count in counts.items()
        for i in range(count)
    ]


MANY = samples({"dent": 90, "good": 60, "scratch": 30})


def test_classes_take_turns_until_one_has_no_more() -> None:
    labels = [sample.label for sample in draw(MANY, 120, 0, FLAG)]
    assert labels[:90] == ["dent", "good", "scratch"] * 30
    assert set(labels[90:]) == {"dent", "good"}


def test_each_group_gives_one_picture_before_any_gives_two() -> None:
    drawn = [sample.group for sample in draw(samples({"dent": 30}), 30, 0, FLAG)]
    for turn in range(3):
        assert len(set(drawn[10 * turn : 10 * turn + 10])) == 10
    alone = [sample.group for sample in draw(MANY, 30, 0, FLAG)]
    assert len(set(alone)) == 30


def test_what_is_drawn_for_fewer_is_part_of_what_is_drawn_for_more() -> None:
    mini50, mini150 = ({sample.id for sample in draw(MANY, count, 1, FLAG)} for count in (50, 150))
    assert len(mini50) == 50
    assert mini50 < mini150


def test_the_seed_alone_decides() -> None:
    first = draw(MANY, 50, 0, FLAG)
    assert draw(list(reversed(MANY)), 50, 0, FLAG) == first
    shared = {sample.id for sample in first} & {sample.id for sample in draw(MANY, 50, 1, FLAG)}
    assert len(shared) < 35


def test_pictures_without_group_are_each_their_own() -> None:
    loose = [Sample(str(i), f"{i}.png", "steel", "train", None, "dent") for i in range(8)]
    assert len({sample.id for sample in draw(loose, 8, 0, FLAG)}) == 8


def test_all_or_more_than_there_are() -> None:
    assert draw(MANY, None, 0, FLAG) == MANY
    with pytest.raises(UserError, match=r"--training\.labelled 181: there are 180"):
        draw(MANY, 181, 0, FLAG)
