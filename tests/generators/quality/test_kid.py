import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from millsight.generators.quality.kid import kernel_inception_distance
from millsight.platform.errors import UserError


def test_equals_torchmetrics_for_sets_of_one_size():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 12, 20)).astype(np.float32)
    expected = poly_mmd(torch.from_numpy(first).double(), torch.from_numpy(second).double())
    assert kernel_inception_distance(first, second) == pytest.approx(float(expected), rel=1e-10)


def test_a_case_by_hand_with_sets_of_two_sizes():
    # D = 1: kernel (xy + 1)^3. Pairs within: (0 * 1 + 1)^3 = 1; of 1, 1, 2: 8, 27, 27.
    # Across: 0 with 1, 1, 2: 1, 1, 1; 1 with 1, 1, 2: 8, 8, 27.
    first = np.array([[0.0], [1.0]], np.float32)
    second = np.array([[1.0], [1.0], [2.0]], np.float32)
    by_hand = 1 + (8 + 27 + 27) / 3 - 2 * (1 + 1 + 1 + 8 + 8 + 27) / 6
    assert kernel_inception_distance(first, second) == pytest.approx(by_hand)


def test_its_mean_over_draws_of_one_distribution_is_zero_and_grows_with_a_shift():
    rng = np.random.default_rng(1)
    same = [kernel_inception_distance(*rng.normal(size=(2, 5, 8))) for _ in range(600)]
    far = [
        kernel_inception_distance(rng.normal(size=(5, 8)), rng.normal(1, 1, size=(5, 8)))
        for _ in range(100)
    ]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(len(same))
    assert min(same) < 0 < np.mean(far) - 10 * np.std(far) / np.sqrt(len(far))


@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), np.full((2, 3), np.nan)])
def test_too_few_pictures_and_features_that_are_not_numbers_are_refused(wrong):
    with pytest.raises(UserError, match="KID"):
        kernel_inception_distance(wrong, np.zeros((4, 3)))
