from __future__ import annotations

import math

import numpy as np
import pytest
from blob_maps import blank, with_blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from millsight.pretraining.pseudo_boxes.mask_iou import MaskIouSweep


def test_iou_equals_hand_numbers() -> None:
    """At T_c = 0.5 picture a has 4 of 8 pixels (IoU 0.5), picture b 8 found, 8 true, 4 common."""
    sweep = MaskIouSweep(0.0, 1.0)
    mask = with_blobs((10, 10), [(0, 0, 8, 1, 1.0)]) > 0
    sweep.add("a", with_blobs((10, 10), [(0, 0, 4, 1, 0.75)]), mask, 0.5)
    sweep.add("b", with_blobs((10, 10), [(4, 0, 4, 2, 0.25)]), mask, 0.125)
    sweep.add("b", blank(10, 10), np.zeros((10, 10), dtype=bool), 0.125)
    overall, each = sweep.results()
    assert (overall.pictures, each["a"].pictures, each["b"].pictures) == (2, 1, 1)
    assert each["a"].category_mean == pytest.approx(4 / 8)
    assert each["b"].category_mean == pytest.approx(4 / 12)
    assert overall.category_mean == pytest.approx((4 / 8 + 4 / 12) / 2)
    assert overall.category_pooled == pytest.approx((4 + 4) / (8 + 12))
    assert overall.fixed_pooled == pytest.approx((4 + 4) / (8 + 12))
    assert 0 <= overall.fixed_threshold_pooled < 0.25


def test_the_best_fixed_threshold_is_found_and_applied_to_every_category() -> None:
    """Half of a's map is background at 0.4, so 0.4 is the cut; b's defect at 0.3 is then lost."""
    sweep = MaskIouSweep(0.0, 1.0)
    mask = with_blobs((10, 10), [(0, 0, 10, 5, 1.0)]) > 0
    hot = np.where(mask, 0.8, 0.4).astype(np.float32)
    sweep.add("a", hot, mask, 0.6)
    sweep.add("b", np.where(mask, 0.3, 0.0).astype(np.float32), mask, 0.2)
    overall, each = sweep.results()
    assert overall.category_mean == 1.0
    assert each["a"].fixed_mean == pytest.approx(0.5)
    assert each["b"].fixed_mean == 1.0
    assert overall.fixed_mean == pytest.approx(0.75)
    assert 0 <= overall.fixed_threshold_mean < 0.3


@settings(max_examples=40, deadline=None)
@given(
    anomaly_map=hnp.arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=16)),
    mask=hnp.arrays(np.bool_, (6, 7)),
    threshold=st.floats(0, 1, width=16),
)
def test_the_sweep_equals_counting_at_each_threshold(
    anomaly_map: np.ndarray, mask: np.ndarray, threshold: float
) -> None:
    sweep = MaskIouSweep(0.0, 1.0)
    sweep.add("a", anomaly_map, mask, threshold)
    overall, _ = sweep.results()
    if not mask.any():
        assert overall.pictures == 0
        assert math.isnan(overall.category_mean)
        return

    def iou(cut: float) -> float:
        found = anomaly_map > cut
        return float((found & mask).sum() / (found | mask).sum())

    assert overall.category_mean == pytest.approx(iou(threshold))
    assert overall.fixed_mean == pytest.approx(max(iou(k / 256) for k in range(256)))
    assert overall.fixed_mean == pytest.approx(iou(overall.fixed_threshold_mean))
