import numpy as np
import pytest

from millsight.generators.diffusion.training.judging import Quality, compare, is_better, summarise


def test_among_checkpoints_that_keep_their_distance_the_lower_kid_is_better():
    good, better, copied = Quality(0.3, 0.9), Quality(0.2, 0.8), Quality(-0.1, 0.2)
    assert is_better(copied, None, 0.5)
    assert is_better(better, good, 0.5)
    assert not is_better(good, better, 0.5)
    assert not is_better(copied, good, 0.5)
    assert is_better(good, copied, 0.5)
    assert is_better(Quality(0.9, 0.3), copied, 0.5)


def test_pictures_learned_by_heart_have_no_distance():
    rng = np.random.default_rng(0)
    learned, validated = rng.normal(size=(2, 8, 16)).astype(np.float32)
    assert compare(learned[:4] * 2, learned, validated).distance == pytest.approx(0, abs=1e-5)
    assert compare(validated, learned, validated).distance == pytest.approx(1)


def test_the_summary_is_the_mean_kid_and_the_worst_distance():
    found = summarise({"a": Quality(0.1, 0.9), "b": Quality(0.3, 0.4)})
    assert found.kid == pytest.approx(0.2)
    assert found.distance == 0.4
