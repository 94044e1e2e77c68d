import math

import numpy as np
import pytest

from millsight.generators.quality.diversity import intra_cluster_diversity

ACROSS = np.array([1.0, 0.0, 0.0], np.float32)
DOWN = np.array([0.0, 1.0, 0.0], np.float32)
DEEP = np.array([0.0, 0.0, 1.0], np.float32)


def test_a_case_by_hand():
    # Around ACROSS: (1, 0, 0) and (3, 0, 4)/5, whose cosine is 0.6; around DOWN one alone.
    generated = np.stack([ACROSS, 3 * ACROSS + 4 * np.array([0, 0, 1.0]), 2 * DOWN])
    found = intra_cluster_diversity(np.stack([ACROSS, DOWN]), generated.astype(np.float32))
    assert found.value == pytest.approx(0.4)
    assert (found.clusters, found.empty) == (1, 0)
    assert found.largest == pytest.approx(2 / 3)


def test_copies_have_none():
    real = np.stack([ACROSS, DOWN, DEEP])
    found = intra_cluster_diversity(real, np.repeat(real[:2], 3, axis=0))
    assert found.value == pytest.approx(0, abs=1e-6)
    assert (found.clusters, found.empty) == (2, 1)


def test_one_for_each_has_no_pairs():
    real = np.stack([ACROSS, DOWN])
    assert math.isnan(intra_cluster_diversity(real, real).value)
