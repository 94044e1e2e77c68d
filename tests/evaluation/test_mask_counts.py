"""Pixel counts of mask pairs and the shape of true defects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import confusion_matrix

from millsight.evaluation.metrics import count_masks, defect_shape

PAIRS = array_shapes(min_dims=3, max_dims=3, max_side=19).flatmap(
    lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape))
)


def oracle(predicted, true):
    pairs = zip(predicted, true, strict=True)
    tables = [confusion_matrix(g.ravel(), p.ravel(), labels=[False, True]) for p, g in pairs]
    return np.array([[t[1, 1], t[0, 1], t[1, 0]] for t in tables]).T


def test_counts_by_hand():
    predicted = np.array([[1, 1, 0], [0, 0, 0]], dtype=bool)
    true = np.array([[0, 1, 1], [1, 0, 0]], dtype=bool)
    tp, fp, fn = count_masks(predicted, true)
    assert (int(tp), int(fp), int(fn)) == (1, 1, 2)
    assert tp.shape == ()


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_scikit_learn_agrees(pair):
    np.testing.assert_array_equal(np.stack(count_masks(*pair)), oracle(*pair))


@pytest.mark.parametrize("shape", [(9, 300, 301), (70, 256, 256), (2, 1, 1)])
def test_blocks_join_without_a_seam(shape):
    rng = np.random.default_rng(0)
    predicted, true = rng.random((2, *shape)) < 0.3
    found = np.stack(count_masks(predicted, true))
    both = (predicted & true).sum((1, 2))
    assert (found[0] == both).all()
    assert (found[1] == predicted.sum((1, 2)) - both).all()
    assert (found[2] == true.sum((1, 2)) - both).all()


def test_leading_axes_views_and_no_masks_at_all():
    predicted, true = np.random.default_rng(0).random((2, 3, 4, 10, 12)) < 0.5
    tp, _, fn = count_masks(predicted[:, ::2], true[:, ::2])
    assert tp.shape == (3, 2)
    assert (tp + fn == true[:, ::2].sum((2, 3))).all()
    assert count_masks(predicted[:0], true[:0])[0].shape == (0, 4)


def test_masks_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="cannot be paired"):
        count_masks(np.zeros((1, 4, 4), dtype=bool), np.zeros((1, 4, 5), dtype=bool))


def test_shapes_by_hand():
    mask = np.zeros((60, 80), dtype=bool)
    assert defect_shape(mask).area == 0
    assert np.isnan(defect_shape(mask).elongation)
    mask[10:14, 5:25] = True
    mask[50, 50] = True
    shape = defect_shape(mask)
    assert (shape.area, shape.largest_area, shape.n_regions) == (81, 80, 2)
    assert shape.elongation == pytest.approx(5)


@pytest.mark.parametrize("length", [1, 2, 7, 40])
def test_a_thin_scratch_is_as_long_as_its_pixels(length):
    upright = np.zeros((50, 50), dtype=bool)
    upright[3 : 3 + length, 4] = True
    diagonal = np.eye(length, dtype=bool)
    for mask in (upright, upright.T, diagonal, diagonal[::-1]):
        assert defect_shape(mask).elongation == pytest.approx(length, rel=1e-4)
        assert defect_shape(mask).n_regions == 1


@pytest.mark.parametrize("angle", [0, 17, 45, 80])
def test_a_turned_rectangle_keeps_its_sides(angle):
    canvas = np.zeros((400, 400), dtype=np.uint8)
    box = cv2.boxPoints(((200, 200), (240, 40), angle)).round().astype(np.int32)
    mask = cv2.fillPoly(canvas, [box], 1).astype(bool)
    # fillPoly paints the outline too, and a slanting outline of whole pixels is up to 1.4 wider.
    assert defect_shape(mask).elongation == pytest.approx(241 / 41, rel=0.04)


def test_the_largest_region_gives_the_elongation():
    mask = np.zeros((50, 50), dtype=bool)
    mask[0, :30] = True
    mask[10:20, 10:20] = True
    assert defect_shape(mask).elongation == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_turning_and_mirroring_keep_the_areas(mask):
    one = defect_shape(mask)
    assert one.area == mask.sum()
    assert one.largest_area <= one.area
    assert np.isnan(one.elongation) if not mask.any() else one.elongation >= 1
    for other in (defect_shape(mask.T), defect_shape(mask[::-1])):
        assert (other.area, other.largest_area) == (one.area, one.largest_area)
        assert other.n_regions == one.n_regions
