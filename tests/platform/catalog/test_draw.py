"""Few labelled pictures from many."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.commands import DrawConfig
from millsight.platform.catalog.commands import draw as draw_command
from millsight.platform.catalog.draw import draw, draw_shots
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

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


def test_shots_of_every_class_and_the_other_splits_as_they_are() -> None:
    test = [replace(one, id=f"test-{one.id}", uri=f"test-{one.uri}", split="test") for one in MANY]
    unknown = Sample("u", "u.png", "steel", "train")
    catalog = Catalog((*MANY, unknown, *test))
    drawn = {shots: draw_shots(catalog, shots, 0, good=20) for shots in (5, 10, 40)}
    counted = Counter(one.label for one in drawn[40].where(split="train"))
    assert counted == {"dent": 40, "scratch": 30, "good": 20}
    for few in drawn.values():
        assert [one for one in few if one.split == "test"] == test
    ids = {
        shots: {one.id for one in few if one.defective is not False} for shots, few in drawn.items()
    }
    assert ids[5] < ids[10] < ids[40]
    assert len({one.group for one in drawn[10].where(label="dent", split="train")}) == 10
    whole = draw_shots(catalog, 5, 0)
    assert len(whole.where(label="good", split="train")) == 60


def test_validation_is_drawn_beside_it_and_the_same_for_any_shots() -> None:
    catalog = Catalog(tuple(MANY))
    few, more = (draw_shots(catalog, shots, 3, validated=4) for shots in (5, 10))
    assert few.where(split="val").samples == more.where(split="val").samples
    counted = Counter(one.label for one in few.where(split="val"))
    assert counted == {"dent": 4, "scratch": 4, "good": 4}
    assert not more.divided_groups()
    with pytest.raises(UserError, match="--validated 4: the data has a val split"):
        draw_shots(few, 2, 3, validated=4)


def test_the_command_writes_a_catalog_that_others_read(tmp_path: Path) -> None:
    Catalog(tuple(MANY)).write(tmp_path / "catalog.parquet")
    config = DrawConfig(
        data=str(tmp_path / "catalog.parquet"), workspace=str(tmp_path / "runs"), shots=2, good=3
    )
    artifact = draw_command(config).artifact
    assert artifact is not None
    assert artifact.config["drawn"] == {"shots": 2, "good": 3, "validated": None, "seed": 0}
    assert len(load_data(artifact.path)) == 2 + 2 + 3
    for wrong in ({"shots": 0}, {"good": -1}, {"validated": 0}):
        with pytest.raises(UserError, match=f"--{next(iter(wrong))}"):
            draw_command(replace(config, **wrong))
    with pytest.raises(UserError, match="no training picture has a defect class"):
        draw_shots(Catalog(tuple(replace(one, split="test") for one in MANY)), 5, 0)
