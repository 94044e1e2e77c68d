"""Distances and boxes, against the definitions pixel by pixel."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millsight.generators.masks.morphology import (
    Mask,
    dilate,
    distance_to,
    group_boxes,
    keep_regions,
    reach,
)


def random_mask(seed: int, share: float, size: tuple[int, int] = (24, 31)) -> Mask:
    return np.random.default_rng(seed).random(size) < share


def slow_groups(mask: Mask, distance: float) -> set[tuple[float, ...]]:
    """Boxes of the pixels that chains of steps of at most ``distance`` (or to a neighbour) join."""
    points = np.argwhere(mask)
    between = np.linalg.norm(points[:, None] - points[None], axis=2)
    joined = (between <= distance) | (np.abs(points[:, None] - points[None]).max(axis=2) <= 1)
    left, boxes = set(range(len(points))), set()
    while left:
        group, fresh = set(), {left.pop()}
        while fresh:
            group |= fresh
            near = np.flatnonzero(joined[sorted(fresh)].any(axis=0)).tolist()
            fresh = set(near) - group
        left -= group
        own = points[sorted(group)]
        (y0, x0), (y1, x1) = own.min(axis=0), own.max(axis=0) + 1
        boxes.add((float(x0), float(y0), float(x1), float(y1)))
    return boxes


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.003, 0.01, 0.05, 0.3]),
    distance=st.sampled_from([1.0, 2.0, 2.9, 5.0, 40.0]),
)
def test_boxes_are_those_of_groups_joined_by_distance(
    seed: int, share: float, distance: float
) -> None:
    mask = random_mask(seed, share)
    boxes = group_boxes(mask, distance)
    assert set(boxes) == slow_groups(mask, distance)
    covered = np.zeros_like(mask)
    for x0, y0, x1, y1 in boxes:
        part = mask[int(y0) : int(y1), int(x0) : int(x1)]
        assert all(side.any() for side in (part[0], part[-1], part[:, 0], part[:, -1]))
        covered[int(y0) : int(y1), int(x0) : int(x1)] = True
    assert not (mask & ~covered).any()


def test_boxes_come_in_reading_order_and_join_at_the_very_distance() -> None:
    mask = np.zeros((20, 40), bool)
    mask[2:4, 30:33] = mask[10, 5] = mask[10, 9] = True
    assert group_boxes(mask, 3.99) == ((30, 2, 33, 4), (5, 10, 6, 11), (9, 10, 10, 11))
    assert group_boxes(mask, 4) == ((30, 2, 33, 4), (5, 10, 10, 11))
    assert group_boxes(np.zeros((4, 4), bool), 3) == ()


@pytest.mark.parametrize("pixels", [1, 2, 5.5])
def test_dilation_is_by_discs_and_never_shrinks(pixels: float) -> None:
    mask = random_mask(3, 0.01)
    points = np.argwhere(mask)
    every = np.indices(mask.shape).reshape(2, -1).T
    nearest = np.linalg.norm(every[:, None] - points[None], axis=2).min(axis=1)
    expected = (nearest <= pixels).reshape(mask.shape)
    assert np.array_equal(dilate(mask, pixels), expected)
    assert np.allclose(distance_to(mask).ravel(), nearest, atol=1e-3)
    assert not dilate(np.zeros_like(mask), pixels).any()


def test_specks_go_and_regions_stay_whole() -> None:
    mask = random_mask(5, 0.2)
    kept = keep_regions(mask, 4)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    expected = np.isin(labels, np.flatnonzero(stats[:, 4] >= 4)) & mask
    assert np.array_equal(kept, expected)
    assert kept.any()
    assert (mask & ~kept).any()


def test_a_share_is_at_least_a_pixel() -> None:
    assert [reach(share, (200, 512)) for share in (0.0, 0.001, 0.02)] == [1, 1, 4]
    assert all(one <= other for one, other in pairwise(reach(s / 50, (64, 99)) for s in range(20)))
