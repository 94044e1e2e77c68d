"""Oracles and properties of the ranking metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from millsight.evaluation.metrics.ranking import RankingCurve

SCORES = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.float32, n, elements=st.floats(-3, 3, width=16)),
        arrays(np.bool_, n),
    )
)


def oracle_f1(labels, scores):
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return f1.max(), thresholds[f1[:-1].argmax()]


def check_against_sklearn(scores, labels):
    curve = RankingCurve.from_scores(scores, labels)
    if labels.any() and not labels.all():
        assert float(curve.auroc()) == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    else:
        assert np.isnan(curve.auroc())
    if not labels.any():
        assert np.isnan(curve.average_precision())
        assert np.isnan(curve.f1_max()).all()
        return
    expected = average_precision_score(labels, scores)
    assert float(curve.average_precision()) == pytest.approx(expected, abs=1e-6)
    f1, threshold = (float(number) for number in curve.f1_max())
    assert f1 == pytest.approx(oracle_f1(labels, scores)[0], abs=1e-6)
    called = scores >= np.float32(threshold)
    found = 2 * (called & labels).sum() / (called.sum() + labels.sum())
    assert found == pytest.approx(f1, abs=1e-9)


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("prevalence", [0.01, 0.5, 0.99])
def test_scikit_learn_agrees(decimals, prevalence):
    rng = np.random.default_rng(decimals)
    labels = rng.random(5000) < prevalence
    scores = np.round(rng.normal(size=5000) + labels, decimals).astype(np.float32)
    check_against_sklearn(scores, labels)


@pytest.mark.parametrize("labels", [[0], [1], [0, 0], [1, 1], [0, 1], [1, 0], [1, 0, 1, 0]])
def test_degenerate_inputs_agree(labels):
    labels = np.array(labels, dtype=bool)
    check_against_sklearn(np.zeros(labels.size, np.float32), labels)
    check_against_sklearn(np.arange(labels.size, dtype=np.float32), labels)


def test_no_items_are_undefined():
    curve = RankingCurve.from_scores([], [])
    numbers = [curve.auroc(), curve.average_precision(), *curve.f1_max()]
    assert np.isnan(numbers).all()


def test_signed_zeros_tie_and_infinities_rank():
    curve = RankingCurve.from_scores([-0.0, 0.0, np.inf, -np.inf], [True, False, True, False])
    assert float(curve.auroc()) == pytest.approx(3.5 / 4)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        RankingCurve.from_scores([0.5, np.nan], [True, False])


def test_thresholds_fall_and_counts_add_up():
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=500).round(1), rng.random(500) < 0.3
    curve = RankingCurve.from_scores(scores, labels)
    assert (np.diff(curve.thresholds[1:]) <= 0).all()
    assert curve.positives.sum() == labels.sum()
    assert curve.negatives.sum() == (~labels).sum()


@settings(max_examples=150, deadline=None)
@given(SCORES)
def test_any_input_agrees_with_scikit_learn(pair):
    check_against_sklearn(*pair)


@settings(max_examples=60, deadline=None)
@given(SCORES, st.randoms(use_true_random=False))
def test_order_of_items_does_not_matter(pair, random):
    scores, labels = pair
    order = random.sample(range(scores.size), scores.size)
    one = RankingCurve.from_scores(scores, labels)
    other = RankingCurve.from_scores(scores[order], labels[order])
    for name in ("thresholds", "negatives", "positives"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@settings(max_examples=60, deadline=None)
@given(SCORES)
def test_monotone_maps_keep_every_metric(pair):
    scores, labels = pair
    one = RankingCurve.from_scores(scores, labels)
    ranks = np.unique(scores, return_inverse=True)[1]
    other = RankingCurve.from_scores(ranks**3 - 5, labels)
    np.testing.assert_array_equal(one.auroc(), other.auroc())
    np.testing.assert_array_equal(one.average_precision(), other.average_precision())
    np.testing.assert_array_equal(one.f1_max()[0], other.f1_max()[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30))
def test_perfect_separation_is_one(n_good, n_bad):
    scores = np.concatenate([np.linspace(0, 1, n_good), np.linspace(2, 3, n_bad)])
    curve = RankingCurve.from_scores(scores, np.arange(n_good + n_bad) >= n_good)
    assert float(curve.auroc()) == 1
    assert float(curve.average_precision()) == 1
    assert [float(number) for number in curve.f1_max()] == [1, 2]
