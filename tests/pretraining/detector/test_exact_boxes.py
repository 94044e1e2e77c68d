"""Exact boxes beside pseudo boxes: which pictures may be learnt, and what their boxes are."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from bright_boxes import coco_set, pseudo_boxes

from millsight.platform.catalog.catalog import load_data
from millsight.platform.cli import main
from millsight.platform.errors import UserError
from millsight.pretraining.detector.exact_boxes import mask_boxes, open_exact, read_exact
from millsight.pretraining.detector.run import Sources
from millsight.pretraining.detector.start import Start


@pytest.fixture
def steel(tmp_path):
    folder = tmp_path / "steel"
    words = ["--count", "12", "--size", "64", "--good_share", "0.4", "--output", str(folder)]
    assert main(["generate", "procedural", *words]) == 0
    return folder


def test_rendered_pictures_teach_whatever_their_split(steel):
    (catalog,) = open_exact([str(steel)])
    samples = list(load_data(str(steel)))
    assert len(catalog) == len(samples)
    pictures = {picture.sample_id: picture for picture in read_exact(catalog)}
    for sample in samples:
        picture = pictures[sample.id]
        assert (len(picture.boxes) > 0) == bool(sample.defective)
        assert picture.labels.tolist() == [0] * len(picture.boxes)


def test_labelled_photographs_teach_from_their_training_split_alone(tmp_path):
    folder = coco_set(tmp_path / "labelled", {"train": 8, "test": 8})
    (catalog,) = open_exact([str(folder)])
    assert {sample.split for sample in catalog} == {"train"}
    boxes = [picture.boxes.tolist() for picture in read_exact(catalog)]
    assert boxes == [[list(box) for box in sample.boxes] for sample in catalog]
    assert all(boxes), "a picture without a box may hold any defect"


def test_boxes_of_a_mask_hold_its_pixels_and_join_neighbours():
    mask = np.zeros((100, 100), np.bool_)
    mask[10:14, 20:30] = mask[10:14, 32:40] = True
    mask[60:62, 5:9] = mask[0, 99] = True
    assert sorted(mask_boxes(mask).tolist()) == [[5, 60, 9, 62], [20, 10, 40, 14], [99, 0, 100, 1]]
    assert mask_boxes(np.zeros((8, 8), np.bool_)).shape == (0, 4)


def test_both_kinds_are_inputs_and_neither_is_an_error(steel, tmp_path):
    pseudo, exact = [pseudo_boxes(tmp_path / "pseudo")], open_exact([str(steel)])
    both = Sources(pseudo, exact, Start(None, None))
    assert len(both.pictures()) == 8 + 12
    assert set(both.inputs()) == {"boxes_0", "exact_0"}
    with pytest.raises(UserError, match="name at least one artifact of `millsight boxes`"):
        Sources([], [], Start(None, None))


def test_a_set_without_a_box_is_refused(steel, tmp_path):
    shutil.copytree(steel / "rolled_steel" / "train", tmp_path / "good" / "train")
    with pytest.raises(UserError, match=r"--exact .*good: no picture of its training split has"):
        open_exact([str(tmp_path / "good")])
