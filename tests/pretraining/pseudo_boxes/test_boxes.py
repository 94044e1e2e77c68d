from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from blob_maps import blank, with_blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.pretraining.pseudo_boxes.boxes import Box, find_boxes, smallest_area
from millsight.pretraining.pseudo_boxes.config import BoxSettings

PAPER = BoxSettings()
OFFICIAL = BoxSettings(compat="official", nms_iou=0.8)
Place = tuple[int, int, int, int]


def places(found: Sequence[Box]) -> list[Place]:
    return [(box.x, box.y, box.width, box.height) for box in found]


def test_a_blob_gives_its_bounds_its_pixels_and_its_maximum() -> None:
    anomaly_map = with_blobs((100, 120), [(30, 40, 8, 5, 0.6)])
    anomaly_map[42, 33] = 0.75
    (box,) = find_boxes(anomaly_map, 0.5, PAPER)
    assert box == Box(30, 40, 8, 5, score=0.75, area=40.0)


def test_a_pixel_at_the_threshold_is_not_anomalous() -> None:
    assert find_boxes(with_blobs((100, 120), [(30, 40, 8, 5, 0.5)]), 0.5, PAPER) == []


@pytest.mark.parametrize(
    ("height", "width", "area"),
    [(99, 5000, 10), (100, 1000, 10), (640, 480, 24), (1080, 1920, 190)],
)
def test_smallest_area_follows_the_pictures_size(height: int, width: int, area: int) -> None:
    assert smallest_area(height, width) == area


def test_a_region_of_exactly_the_smallest_area_stays_and_one_pixel_less_goes() -> None:
    kept = with_blobs((640, 480), [(10, 10, 6, 4, 0.6)])
    assert places(find_boxes(kept, 0.5, PAPER)) == [(10, 10, 6, 4)]
    kept[10, 10] = 0.0
    assert find_boxes(kept, 0.5, PAPER) == []


def test_regions_that_touch_at_a_corner_are_one() -> None:
    anomaly_map = with_blobs((100, 120), [(10, 10, 5, 5, 0.6), (15, 15, 5, 5, 0.7)])
    assert places(find_boxes(anomaly_map, 0.5, PAPER)) == [(10, 10, 10, 10)]


@pytest.mark.parametrize("chosen", [PAPER, OFFICIAL])
def test_the_ten_best_stay_in_order_of_score(chosen: BoxSettings) -> None:
    order = np.random.default_rng(0).permutation(14)
    blobs = [(6 + 20 * i, 10 + 7 * i, 8, 6, 0.6 + 0.02 * order[i]) for i in range(14)]
    found = find_boxes(with_blobs((120, 300), blobs), 0.5, chosen)
    expected = sorted(blobs, key=lambda blob: -blob[4])[:10]
    assert places(found) == [blob[:4] for blob in expected]


def test_of_two_boxes_that_overlap_the_weaker_goes() -> None:
    """A ring's box holds that of the blob inside it; 14 x 14 in 18 x 18 overlap by 0.605."""
    anomaly_map = with_blobs((60, 60), [(10, 10, 18, 18, 0.6), (11, 11, 16, 16, 0.0)])
    anomaly_map[12:26, 12:26] = 0.9
    assert places(find_boxes(anomaly_map, 0.5, PAPER)) == [(10, 10, 18, 18)]
    loose = dataclasses.replace(PAPER, nms_iou=0.61)
    assert sorted(places(find_boxes(anomaly_map, 0.5, loose))) == [
        (10, 10, 18, 18),
        (12, 12, 14, 14),
    ]


def test_a_map_without_anomalous_pixels_gives_no_boxes() -> None:
    assert find_boxes(blank(), 0.5, PAPER) == []
    assert find_boxes(blank(), 0.5, OFFICIAL) == []


# --- the released code's quirks ---


def test_official_area_is_of_the_polygon_through_pixel_centres() -> None:
    anomaly_map = with_blobs((100, 120), [(30, 40, 8, 5, 0.6)])
    (box,) = find_boxes(anomaly_map, 0.5, OFFICIAL)
    assert places([box]) == [(30, 40, 8, 5)]
    assert box.area == 7 * 4


def test_official_drops_a_scratch_one_pixel_wide() -> None:
    scratch = with_blobs((100, 120), [(10, 50, 90, 1, 0.9)])
    assert find_boxes(scratch, 0.5, OFFICIAL) == []
    assert places(find_boxes(scratch, 0.5, PAPER)) == [(10, 50, 90, 1)]


def test_official_does_not_look_into_holes() -> None:
    anomaly_map = with_blobs(
        (100, 120), [(10, 10, 60, 60, 0.6), (11, 11, 58, 58, 0.0), (30, 30, 6, 6, 0.875)]
    )
    (box,) = find_boxes(anomaly_map, 0.5, OFFICIAL)
    assert box == Box(10, 10, 60, 60, score=0.875, area=59.0 * 59.0)
    assert len(find_boxes(anomaly_map, 0.5, PAPER)) == 2


def test_official_suppresses_boxes_that_only_share_their_x() -> None:
    """Misread, both rectangles are centred at x = 0 and as wide as their y centre is large."""
    near = with_blobs((100, 100), [(20, 45, 20, 10, 0.9), (20, 60, 20, 10, 0.8)])
    assert len(find_boxes(near, 0.5, OFFICIAL)) == 2  # y centres 50 / 65 = 0.77 < 0.8
    far = with_blobs((100, 100), [(20, 40, 20, 8, 0.9), (20, 49, 20, 8, 0.8)])
    assert places(find_boxes(far, 0.5, OFFICIAL)) == [(20, 40, 20, 8)]  # y centres 44 / 53 = 0.83
    assert len(find_boxes(far, 0.5, PAPER)) == 2


@settings(max_examples=60, deadline=None)
@given(
    grid=hnp.arrays(
        np.float16,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(0, 1, width=16),
    ),
    height=st.integers(12, 260),
    width=st.integers(12, 260),
    threshold=st.floats(0.05, 0.95),
    chosen=st.sampled_from([PAPER, OFFICIAL]),
)
def test_boxes_lie_inside_the_picture_and_hold_a_maximum_above_the_threshold(
    grid: np.ndarray, height: int, width: int, threshold: float, chosen: BoxSettings
) -> None:
    item = AnomalyMap("a", "a.png", "plate", 0.5, None, width, height, grid)
    anomaly_map = item.upsample()
    found = find_boxes(anomaly_map, threshold, chosen)
    assert len(found) <= 10
    assert [box.score for box in found] == sorted((box.score for box in found), reverse=True)
    for box in found:
        assert box.x >= 0
        assert box.y >= 0
        assert box.width > 0
        assert box.height > 0
        assert box.x + box.width <= width
        assert box.y + box.height <= height
        inside = anomaly_map[box.y : box.y + box.height, box.x : box.x + box.width]
        assert box.score == float(inside.max())
        assert box.score > threshold
        assert smallest_area(height, width) <= box.area <= box.width * box.height
