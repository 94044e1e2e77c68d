import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from millsight.generators.filters.recognizer import cross_validated, fit, ledoit_wolf


def _classes(apart: float, count: int = 9, size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3 * count, size)) * np.linspace(0.2, 2, size)
    labels = np.repeat(["a", "b", "c"], count)
    features[labels == "b", 0] += apart
    features[labels == "c", 1] += apart
    return features.astype(np.float32), labels


def test_shrinkage_equals_sklearns():
    features, _ = _classes(0)
    centred = (features - features.mean(axis=0)).astype(np.float64)
    share, sphere = ledoit_wolf(centred)
    assert share == pytest.approx(LedoitWolf().fit(centred).shrinkage_, rel=1e-6)
    assert sphere == pytest.approx(centred.var())


def test_scores_equal_sklearns_with_the_same_covariance():
    features, labels = _classes(2.0)
    fitted = fit(features, labels)
    means = np.stack([features[labels == name].mean(axis=0) for name in "abc"])
    centred = (features - means[np.searchsorted(["a", "b", "c"], labels)]).astype(np.float64)
    share = ledoit_wolf(centred)[0]

    class Shrunk:
        def fit(self, x):
            covariance = x.T @ x / len(x)
            sphere = np.trace(covariance) / len(covariance)
            self.covariance_ = (1 - share) * covariance + share * sphere * np.eye(len(covariance))
            return self

    # Sklearn estimates each class apart; all of them equal the pooled one on centred data.
    pooled = Shrunk().fit(centred).covariance_
    oracle = LinearDiscriminantAnalysis(
        solver="lsqr", covariance_estimator=_Given(pooled), priors=[1 / 3] * 3
    ).fit(features.astype(np.float64), labels)
    new = np.random.default_rng(1).normal(size=(12, features.shape[1])).astype(np.float32)
    scores = oracle.decision_function(new.astype(np.float64))
    given = np.array(["a", "b", "c"] * 4)
    at = np.searchsorted(["a", "b", "c"], given)
    own = scores[np.arange(12), at].copy()
    scores[np.arange(12), at] = -np.inf
    np.testing.assert_allclose(fitted.margins(new, given), own - scores.max(axis=1), rtol=1e-6)


class _Given:
    def __init__(self, covariance: np.ndarray) -> None:
        self.covariance_ = covariance

    def fit(self, x: np.ndarray) -> "_Given":
        return self


def test_it_knows_what_can_be_known_and_admits_what_cannot():
    objects = np.array([f"o{i}" for i in range(27)])
    features, labels = _classes(8.0)
    good = cross_validated(features, labels, objects, 5, 0.05)
    assert good is not None
    assert good.accuracy() == 1
    assert all(good.knows(name) for name in "abc")
    blind = cross_validated(features[:, 2:], labels, objects, 5, 0.05)
    assert blind is not None
    assert blind.accuracy() < 0.6
    assert not all(blind.knows(name) for name in "abc")


def test_pictures_of_one_object_do_not_answer_for_each_other():
    # Nothing but the object can be seen: with its own pictures held out, it is a coin's toss.
    rng = np.random.default_rng(2)
    seen = rng.normal(size=(12, 30))
    features = np.repeat(seen, 4, axis=0) + rng.normal(0, 0.01, (48, 30))
    labels = np.repeat(np.tile(["a", "b"], 6), 4)
    objects = np.repeat([f"o{i}" for i in range(12)], 4)
    honest = cross_validated(features.astype(np.float32), labels, objects, 4, 0.05)
    fooled = cross_validated(
        features.astype(np.float32), labels, np.arange(48).astype(str), 4, 0.05
    )
    assert honest is not None
    assert fooled is not None
    assert fooled.accuracy() > 0.95
    assert honest.accuracy() < 0.8


def test_one_class_with_two_objects_is_not_enough():
    features, labels = _classes(8.0)
    objects = np.array(["x"] * 9 + ["y"] * 9 + [f"o{i}" for i in range(9)])
    assert cross_validated(features, labels, objects, 5, 0.05) is None
