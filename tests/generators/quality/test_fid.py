import numpy as np
import pytest
from scipy.linalg import sqrtm

from millsight.generators.quality.fid import LEAST, frechet_distance
from millsight.platform.errors import UserError


def test_equals_the_formula_with_a_matrix_root():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(LEAST, 6)) @ rng.normal(size=(6, 6))
    second = rng.normal(1, 2, size=(LEAST + 40, 6))
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    apart = first.mean(axis=0) - second.mean(axis=0)
    expected = apart @ apart + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_few_pictures_are_refused():
    with pytest.raises(UserError, match="at least 500"):
        frechet_distance(np.zeros((LEAST - 1, 2)), np.zeros((LEAST, 2)))
