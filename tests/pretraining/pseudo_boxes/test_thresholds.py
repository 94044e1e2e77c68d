from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from blob_maps import a_map, blank, with_blobs
from hypothesis import given
from hypothesis import strategies as st

from millsight.pretraining.pseudo_boxes.config import BoxSettings
from millsight.pretraining.pseudo_boxes.thresholds import category_thresholds, otsu

PAPER = BoxSettings()
OFFICIAL = BoxSettings(compat="official", nms_iou=0.8)


def test_category_threshold_is_the_mean_of_maxima_less_a_tenth() -> None:
    items = [
        a_map("a", with_blobs((4, 4), [(0, 0, 1, 1, 0.5)]), 0.1, "pipe"),
        a_map("b", with_blobs((4, 4), [(0, 0, 2, 2, 0.75)]), 0.2, "pipe"),
        a_map("c", with_blobs((4, 4), [(1, 1, 1, 1, 0.25)]), 0.3, "billet"),
    ]
    found = category_thresholds(items, PAPER)
    assert list(found) == ["billet", "pipe"]
    assert found["pipe"].map_threshold == pytest.approx(0.625 - 0.1)
    assert found["pipe"].map_range == (0.0, 0.75)
    assert found["billet"].map_threshold == pytest.approx(0.15)
    assert found["pipe"].tau == pytest.approx(0.15)


def test_one_picture_alone_cannot_be_split_and_is_not_gated() -> None:
    (found,) = category_thresholds([a_map("a", blank(4, 4), 0.1)], PAPER).values()
    assert math.isnan(found.tau)
    assert not found.is_normal(0.0)


def test_a_picture_at_tau_is_not_normal_and_official_has_no_gate() -> None:
    items = [a_map("a", blank(4, 4), 0.1), a_map("b", blank(4, 4), 0.9)]
    fixed = category_thresholds(items, dataclasses.replace(PAPER, tau=0.3))["plate"]
    assert fixed.is_normal(0.299)
    assert not fixed.is_normal(0.3)
    assert not category_thresholds(items, OFFICIAL)["plate"].is_normal(-1.0)


def test_otsu_splits_between_the_two_groups() -> None:
    assert otsu([0.9, 0.1, 0.2, 0.8, 0.1]) == pytest.approx(0.5)
    assert math.isnan(otsu([0.4, 0.4]))


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=30))
def test_otsu_equals_the_exhaustive_search(values: list[float]) -> None:
    distinct = sorted(set(values))

    def within(cut: float) -> float:
        parts = [[v for v in values if v <= cut], [v for v in values if v > cut]]
        return sum(float(np.var(part)) * len(part) for part in parts)

    found = otsu(values)
    if len(distinct) == 1:
        assert math.isnan(found)
    else:
        assert distinct[0] <= found <= distinct[-1]
        best = min(within(cut) for cut in distinct[:-1])
        below = max(v for v in distinct[:-1] if v <= found)
        assert within(below) == pytest.approx(best, abs=1e-9)
