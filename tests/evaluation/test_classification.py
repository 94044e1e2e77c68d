"""Classification metrics: hand-computed cases, scikit-learn, properties, intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    precision_recall_fscore_support,
)

from millsight.evaluation.metrics import BootstrapConfig, compare, evaluate_classes
from millsight.evaluation.metrics.bootstrap import resample_weights

NONE = BootstrapConfig(n_resamples=0)
FEW = BootstrapConfig(n_resamples=60)
NAMES = ("crack", "patch", "pit", "scale")


def make_run(seed, n=200, sharpness=1.0):
    """Classes of unequal size, the last one absent, and probabilities that lean the right way."""
    rng = np.random.default_rng(seed)
    true = rng.choice(3, size=n, p=(0.6, 0.3, 0.1))
    logits = rng.normal(size=(n, 4)) + sharpness * np.eye(4)[true]
    odds = np.exp(logits)
    probabilities = odds / odds.sum(1, keepdims=True)
    return true, probabilities.argmax(1), probabilities


def values(*args, **kwargs):
    row = evaluate_classes(*args, NAMES, bootstrap=NONE, **kwargs).overall
    return {name: getattr(row, name).value for name in row.replicates}


def ece_oracle(right, confidence, n_bins):
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    counts = np.bincount(np.searchsorted(inner, confidence), minlength=n_bins)
    accuracy, mean = calibration_curve(right, confidence, n_bins=n_bins)
    return (np.abs(accuracy - mean) * counts[counts > 0]).sum() / counts.sum()


def check_against_sklearn(true, called, probabilities, n_bins=15):
    result = evaluate_classes(
        true, called, NAMES, probabilities=probabilities, n_bins=n_bins, bootstrap=NONE
    )
    right = true == called
    confidence = probabilities[np.arange(true.size), called]
    row = result.overall
    f1 = precision_recall_fscore_support(true, called, average="macro", zero_division=0)[2]
    assert row.accuracy.value == pytest.approx(accuracy_score(true, called), abs=1e-6)
    balanced = balanced_accuracy_score(true, called)
    assert row.mean_class_accuracy.value == pytest.approx(balanced, abs=1e-6)
    assert row.macro_f1.value == pytest.approx(f1, abs=1e-6)
    assert row.ece.value == pytest.approx(ece_oracle(right, confidence, n_bins), abs=1e-6)
    brier = brier_score_loss(true, probabilities, labels=range(4), scale_by_half=False)
    assert row.brier.value == pytest.approx(brier, abs=1e-6)
    table = confusion_matrix(true, called, labels=range(4))
    np.testing.assert_array_equal(result.confusion, table)
    per_class = precision_recall_fscore_support(true, called, labels=range(4), zero_division=np.nan)
    for c, found in enumerate(result.classes):
        numbers = [found.precision.value, found.recall.value, found.f1.value]
        expected = [column[c] for column in per_class[:3]]
        assert numbers == pytest.approx(expected, abs=1e-6, nan_ok=True)
        assert (found.n_true, found.n_called) == (table[c].sum(), table[:, c].sum())


def test_by_hand():
    probabilities = np.array(
        [[0.8, 0.2, 0, 0], [0.6, 0.4, 0, 0], [0.1, 0.9, 0, 0], [0.3, 0.7, 0, 0]]
    )
    result = evaluate_classes(
        [0, 1, 1, 1], [0, 0, 1, 1], NAMES, probabilities=probabilities, n_bins=2, bootstrap=NONE
    )
    row = result.overall
    assert row.accuracy.value == 3 / 4
    assert row.mean_class_accuracy.value == pytest.approx((1 + 2 / 3) / 2)
    assert row.macro_f1.value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert row.brier.value == pytest.approx((0.08 + 0.72 + 0.02 + 0.18) / 4)
    assert row.ece.value == pytest.approx(abs(3 / 4 - (0.8 + 0.6 + 0.9 + 0.7) / 4))
    assert (row.n_pictures, row.n_classes, row.n_calibrated) == (4, 2, 4)
    np.testing.assert_array_equal(result.confusion[:2, :2], [[1, 0], [1, 2]])
    bins = result.reliability
    np.testing.assert_array_equal(bins.counts, [0, 4])
    np.testing.assert_allclose(bins.confidence, [np.nan, 0.75])
    np.testing.assert_allclose(bins.accuracy, [np.nan, 0.75])
    assert np.isnan(result.classes[3].f1.value)
    assert (result.classes[0].precision.n, result.classes[0].f1.n) == (2, 2)


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@pytest.mark.parametrize("n_bins", [1, 10, 15])
@pytest.mark.parametrize("sharpness", [-3.0, 0.0, 1.0, 9.0])
def test_scikit_learn_agrees(sharpness, n_bins):
    check_against_sklearn(*make_run(int(sharpness) + 5, sharpness=sharpness), n_bins=n_bins)


@pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label")
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 2, st.integers(0, 15)), min_size=1, max_size=30))
def test_any_calls_agree_with_scikit_learn(rows):
    """Confidences of sixteenths tie and meet the edges of eight bins."""
    true, called, sixteenths = np.array(rows).T
    probabilities = np.repeat((16 - sixteenths[:, None]) / 48, 4, axis=1)
    probabilities[np.arange(true.size), called] = sixteenths / 16
    check_against_sklearn(true, called, probabilities, n_bins=8)


def test_nothing_is_undefined_not_zero():
    result = evaluate_classes([], [], NAMES, probabilities=np.zeros((0, 4)))
    row = result.overall
    numbers = [getattr(row, name) for name in row.replicates]
    assert all(np.isnan([e.value, e.low, e.high]).all() and e.n == 0 for e in numbers)
    assert result.confusion.sum() == 0
    again = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert again["overall"]["macro_f1"]["value"] is None
    assert again["reliability"]["accuracy"] == [None] * 15


def test_pictures_without_probabilities_count_for_the_calls_only():
    true, called, probabilities = make_run(0)
    without = values(true, called)
    assert np.isnan([without["ece"], without["brier"]]).all()
    probabilities[::2] = np.nan
    row = evaluate_classes(true, called, NAMES, probabilities=probabilities, bootstrap=NONE).overall
    half = values(true[1::2], called[1::2], probabilities=probabilities[1::2])
    assert row.ece.value == pytest.approx(half["ece"])
    assert row.brier.value == pytest.approx(half["brier"])
    assert row.accuracy.value == without["accuracy"]
    assert (row.n_calibrated, row.ece.n, row.accuracy.n) == (100, 100, 200)


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="between 0 and 3"):
        evaluate_classes([4], [0], NAMES)
    with pytest.raises(ValueError, match="between 0 and 3"):
        evaluate_classes([0], [-1], NAMES)
    with pytest.raises(ValueError, match="same shape"):
        evaluate_classes([0, 1], [0], NAMES)
    with pytest.raises(ValueError, match=r"expected \(1, 4\)"):
        evaluate_classes([0], [0], NAMES, probabilities=[[0.5, 0.5]])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 40))
def test_order_and_cutting_do_not_matter(seed, n):
    """Shards merge by concatenation, whatever their order."""
    run = make_run(seed, n=n)
    cut = seed % (n + 1)
    shards = [[column[:cut] for column in run], [column[cut:] for column in run]]
    joined = [np.concatenate(pair) for pair in zip(*reversed(shards), strict=True)]
    one, other = (values(r[0], r[1], probabilities=r[2]) for r in (run, joined))
    assert one == pytest.approx(other, abs=1e-12)


def test_resamples_are_exact():
    true, called, probabilities = make_run(1, n=50)
    whole = evaluate_classes(true, called, NAMES, probabilities=probabilities, bootstrap=FEW)
    weights = np.concatenate(list(resample_weights(50, 60, 0))).astype(int)
    for r in (0, 31, 59):
        drawn = np.repeat(np.arange(50), weights[r])
        again = evaluate_classes(
            true[drawn], called[drawn], NAMES, probabilities=probabilities[drawn], bootstrap=NONE
        )
        for name, row in whole.rows().items():
            found = {metric: drawn_values[r] for metric, drawn_values in row.replicates.items()}
            other = again.rows()[name]
            expected = {metric: getattr(other, metric).value for metric in found}
            assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_intervals_hold_the_value():
    true, called, probabilities = make_run(2)
    row = evaluate_classes(true, called, NAMES, probabilities=probabilities).overall
    for name in ("accuracy", "mean_class_accuracy", "macro_f1", "brier"):
        estimate = getattr(row, name)
        assert estimate.low < estimate.value < estimate.high


def test_runs_are_paired_over_the_same_pictures():
    true, called, probabilities = make_run(3)
    worse = called.copy()
    worse[:20] = 3
    ours = evaluate_classes(true, called, NAMES, probabilities=probabilities)
    theirs = evaluate_classes(true, worse, NAMES)
    gap = compare(ours, theirs)
    assert list(gap) == ["all", *(f"class {name}" for name in NAMES)]
    found, single = gap["all"]["accuracy"], ours.overall.accuracy
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < single.high - single.low
    assert np.isnan(gap["all"]["ece"].value)
    assert compare(ours, ours)["class pit"]["recall"].high == 0
    for other in (true[::-1], (true + 1) % 3):
        with pytest.raises(ValueError, match="same pictures"):
            compare(ours, evaluate_classes(other, called, NAMES))
