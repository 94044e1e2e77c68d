"""Synthetic pictures beside the labelled ones: which are taken, and as what."""

from __future__ import annotations

from pathlib import Path

import pytest
from bright_boxes import CLASSES, coco_set

from millsight.platform.catalog.catalog import load_data
from millsight.platform.catalog.synthetic import COMPOSED, mark_png
from millsight.platform.catalog.synthetic_sets import open_sets
from millsight.platform.errors import UserError
from millsight.pretraining.downstream.detection.extra import read_extra


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    folder = coco_set(tmp_path / "synthetic", {"train": 8})
    for picture in folder.rglob("*.png"):
        picture.write_bytes(mark_png(picture.read_bytes(), COMPOSED))
    return folder


def test_all_of_a_synthetic_set_is_learnt_under_the_labelled_names(synthetic):
    found = read_extra(open_sets([str(synthetic)], "--extra"), CLASSES)
    samples = list(load_data(str(synthetic)))
    assert len(found) == len(samples) == 8
    for picture, sample in zip(found, samples, strict=True):
        assert [list(box) for box in sample.boxes] == picture.boxes.tolist()
        assert [CLASSES[label] for label in picture.labels] == list(sample.box_labels)


def test_photographs_and_unknown_classes_are_refused(synthetic, tmp_path):
    with pytest.raises(UserError, match="shows 'pit'; the labelled pictures have dent"):
        read_extra(open_sets([str(synthetic)], "--extra"), CLASSES[:1])
    photographs = coco_set(tmp_path / "real", {"train": 4})
    with pytest.raises(UserError, match="is not marked as synthetic; photographs belong into"):
        open_sets([str(synthetic), str(photographs)], "--extra")
