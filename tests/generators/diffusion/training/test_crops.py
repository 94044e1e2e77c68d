from dataclasses import replace

import cv2
import numpy as np
import pytest

from millsight.generators.diffusion.training.crops import all_grey, choose, cut_crops, grown
from millsight.generators.masks.sources import defect_classes
from millsight.generators.masks.squares import squares
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.synthetic import COMPOSED, GENERATED, RENDERED
from millsight.platform.errors import UserError


def test_a_crop_is_a_square_around_its_defect_with_context():
    mask = np.zeros((100, 200), bool)
    mask[40:50, 90:110] = True
    assert squares(mask, 0.5, 1) == [(80, 25, 40)]
    assert squares(mask, 0.5, 60) == [(70, 15, 60)]


def test_at_the_border_the_square_is_moved_inside():
    mask = np.zeros((100, 200), bool)
    mask[0:10, 195:200] = True
    assert squares(mask, 0.5, 1) == [(180, 0, 20)]


def test_a_defect_longer_than_the_picture_is_high_is_covered_by_several_squares():
    mask = np.zeros((50, 200), bool)
    mask[20:24, :] = True
    found = squares(mask, 0.5, 1)
    assert [side for _, _, side in found] == [50] * 4
    covered = np.zeros(200, bool)
    for x, _, side in found:
        covered[x : x + side] = True
    assert covered.all()


def test_defects_far_apart_get_crops_of_their_own_and_near_ones_share_one():
    mask = np.zeros((200, 200), bool)
    mask[10:14, 10:14] = mask[10:14, 22:26] = True
    mask[180:190, 180:190] = True
    found = squares(mask, 0.5, 40)
    assert len(found) == 2
    assert all(mask[y : y + side, x : x + side].any() for x, y, side in found)


def test_crops_of_masks_boxes_and_bare_labels(defects):
    samples = choose(Catalog.read(defects), ["scratch"], "train", 1)[:1]
    masked = _cut(samples)
    boxed = replace(
        samples[0], mask_uri=None, boxes=((30.0, 30.0, 40.0, 40.0),), box_labels=("scratch",)
    )
    bare = replace(samples[0], mask_uri=None)
    assert masked[0].picture.shape == (64, 64, 3)
    assert 0 < masked[0].mask.mean() < 0.5
    assert _cut([boxed])[0].mask.mean() == pytest.approx(0.25, abs=0.05)
    assert _cut([bare])[0].mask.all()
    assert all_grey(masked)
    assert grown(masked[0], 0.1).sum() > masked[0].mask.sum()


def test_a_picture_of_two_classes_gives_crops_of_both(defects):
    sample = choose(Catalog.read(defects), ["scratch"], "train", 1)[0]
    boxes = ((5.0, 5.0, 15.0, 15.0), (60.0, 60.0, 70.0, 70.0))
    both = replace(sample, label=None, mask_uri=None, boxes=boxes, box_labels=("pit", "rust"))
    found = cut_crops([both], ["pit", "rust"], 64, context=0.5, most=4, progress=lambda *_: None)
    assert [crop.label for crop in found] == ["pit", "rust"]
    assert defect_classes([both]) == ("pit", "rust")


def test_a_class_without_pictures_is_named(defects):
    with pytest.raises(UserError, match=r"no pictures of 'dent' in the train split .*scratch"):
        choose(Catalog.read(defects), ["scratch", "dent"], "train", 1)
    with pytest.raises(UserError, match="2 pictures of 'scratch' in the val split"):
        choose(Catalog.read(defects), ["scratch"], "val", 3)


def test_pictures_that_were_generated_are_left_out_and_rendered_ones_stay(defects):
    catalog = Catalog.read(defects)
    for mark, count in ((GENERATED, 0), (COMPOSED, 0), (RENDERED, 3)):
        marked = catalog.with_samples(replace(sample, synthetic=mark) for sample in catalog)
        if count:
            assert len(choose(marked, ["scratch"], "train", 1)) == count
            continue
        with pytest.raises(UserError, match="no pictures of 'scratch'"):
            choose(marked, ["scratch"], "train", 1)


def test_a_picture_that_cannot_be_read_is_named(defects, tmp_path):
    sample = choose(Catalog.read(defects), ["scratch"], "train", 1)[0]
    broken = tmp_path / "broken.png"
    broken.write_bytes(cv2.imencode(".png", np.zeros((80, 96), np.uint8))[1].tobytes()[:60])
    with pytest.raises(UserError, match=r"broken\.png"):
        _cut([replace(sample, uri=str(broken))])


def _cut(samples):
    return cut_crops(samples, ["scratch"], 64, context=0.5, most=4, progress=lambda *_: None)
