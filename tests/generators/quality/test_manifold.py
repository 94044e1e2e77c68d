import numpy as np
import pytest

from millsight.generators.quality.manifold import Manifold, compare_manifolds
from millsight.platform.errors import UserError


def test_a_case_by_hand():
    # k = 1. Real 0, 1, 10: radii 1, 1, 9. Generated 0.5, 1.2, 30: radii 0.7, 0.7, 28.8.
    # 0.5 lies in the balls of 0 and 1; 1.2 in those of 1 and 10 (8.8 <= 9); 30 in none.
    # Real 0 and 1 lie in 0.5's ball, 1 in 1.2's; 10 is 20 from 30, which reaches 28.8.
    real = np.array([[0.0], [1.0], [10.0]], np.float32)
    generated = np.array([[0.5], [1.2], [30.0]], np.float32)
    found = compare_manifolds(real, generated, neighbours=1)
    assert found == Manifold(
        precision=pytest.approx(2 / 3),
        recall=1.0,
        density=pytest.approx(4 / 3),
        coverage=1.0,
        neighbours=1,
    )


def test_one_mode_of_two_is_precise_but_does_not_cover():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(60, 4)) + np.repeat([[0.0], [50.0]], 30, axis=0)
    found = compare_manifolds(real, rng.normal(size=(60, 4)), neighbours=5)
    assert found.precision > 0.8
    assert found.density == pytest.approx(1, abs=0.25)
    assert found.recall < 0.6
    assert found.coverage < 0.6


def test_far_sets_share_nothing_and_equal_ones_everything():
    features = np.random.default_rng(1).normal(size=(9, 3))
    assert compare_manifolds(features, features, 2).precision == 1
    assert compare_manifolds(features, features, 2).recall == 1
    apart = compare_manifolds(features, features + 1000, 2)
    assert (apart.precision, apart.recall, apart.density, apart.coverage) == (0, 0, 0, 0)


def test_sets_not_above_k_are_refused():
    with pytest.raises(UserError, match="3 neighbours"):
        compare_manifolds(np.zeros((3, 2)), np.zeros((9, 2)), 3)
