"""Sample-centric metrics: hand-computed cases, oracles, properties, intervals."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from millsight.evaluation.metrics import (
    BootstrapConfig,
    PictureCounts,
    UnitCosts,
    bin_slices,
    compare,
    evaluate_samples,
)
from millsight.evaluation.metrics.bootstrap import resample_weights

NONE = BootstrapConfig(n_resamples=0)
FEW = BootstrapConfig(n_resamples=60)
SEG = (
    *("seg_miou", "seg_recall", "seg_recall_10", "seg_recall_30", "seg_recall_50"),
    "seg_recall_area",
)
COSTS = UnitCosts(escape=10, overkill=1)


def values(counts, **kwargs):
    row = evaluate_samples(counts, bootstrap=NONE, **kwargs).overall
    return {name: getattr(row, name).value for name in row.replicates}


def make_masks(seed, n=30, defects=0.5, shape=(8, 9)):
    """Squares, predictions that miss some of them or invent some, and a head's decisions."""
    rng = np.random.default_rng(seed)
    true, predicted = np.zeros((2, n, *shape), dtype=bool)
    for i in range(n):
        y, x = rng.integers(0, 4, size=2)
        size = rng.integers(2, 5)
        true[i, y : y + size, x : x + size] = rng.random() < defects
        shift = rng.integers(0, 4)
        predicted[i, y + shift : y + shift + size, x : x + size] = rng.random() < 0.6
    return predicted, true, rng.random(n) < 0.6


def test_by_hand():
    # hit at IoU 1/2; found but elsewhere; missed although segmented; missed; false alarm; passed
    counts = PictureCounts.of(
        tp=[2, 0, 4, 0, 0, 0],
        fp=[1, 3, 0, 0, 5, 0],
        fn=[1, 5, 0, 6, 0, 0],
        y=[1, 1, 1, 1, 0, 0],
        d=[1, 1, 0, 0, 1, 0],
    )
    found = values(counts, costs=COSTS)
    assert found == pytest.approx(
        {
            "pooled_miou": 6 / 27,
            "sample_miou": (1 / 2 + 0 + 1 + 0 + 0 + 1) / 6,
            "seg_miou": (1 / 2) / 5,
            "seg_recall": 1 / 4,
            "seg_recall_10": 1 / 4,
            "seg_recall_30": 1 / 4,
            "seg_recall_50": 0,
            "seg_recall_area": (2 / 3) / 4,
            "sample_precision": 2 / 3,
            "sample_recall": 2 / 4,
            "sample_f1": 4 / 7,
            "sample_fpr": 1 / 2,
            "escape_rate": 2 / 4,
            "overkill_rate": 1 / 2,
            "cost": (10 * 2 + 1) / 6,
        }
    )
    row = evaluate_samples(counts, bootstrap=NONE).overall
    assert (row.n_caught, row.n_escaped, row.n_false_alarms, row.n_passed) == (2, 2, 1, 1)
    assert (row.seg_miou.n, row.seg_recall.n, row.sample_precision.n, row.sample_f1.n) == (
        *(5, 4, 3, 5),
    )
    by_pixels = values(counts.called_by_pixels())
    assert by_pixels["sample_recall"] == 3 / 4
    assert by_pixels["seg_miou"] == pytest.approx((1 / 2 + 0 + 1 + 0 + 0) / 5)


@pytest.mark.parametrize(
    ("percent", "recalls"), [(10, (0, 0, 0)), (30, (1, 0, 0)), (50, (1, 1, 0))]
)
def test_recall_wants_more_than_the_named_iou(percent, recalls):
    names = ("seg_recall_10", "seg_recall_30", "seg_recall_50")
    equal = values(PictureCounts.of([percent], [40], [60 - percent], [1], [1]))
    assert tuple(equal[name] for name in names) == recalls
    above = values(PictureCounts.of([percent + 1], [40], [59 - percent], [1], [1]))
    assert sum(above[name] for name in names) == sum(recalls) + 1


def seg_oracle(predicted, true, d):
    y = true.any((1, 2))
    ious = [
        jaccard_score(g.ravel(), p.ravel(), zero_division=1.0) if a and b else 0.0
        for p, g, a, b in zip(predicted, true, y, d, strict=True)
    ]
    recalls = [
        recall_score(g.ravel(), p.ravel(), zero_division=0.0) if b else 0.0
        for p, g, b in zip(predicted, true, d, strict=True)
    ]
    ious, recalls = np.array(ious), np.array(recalls)
    found = {
        name: (ious[y] > cut).mean() for name, cut in zip(SEG[1:5], (0, 0.1, 0.3, 0.5), strict=True)
    }
    return found | {"seg_miou": ious[y | d].mean(), "seg_recall_area": recalls[y].mean()}


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize("defects", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_scikit_learn_agrees(seed, defects):
    predicted, true, d = make_masks(seed, defects=defects)
    if seed == 3:
        d = np.zeros_like(d)
    y = true.any((1, 2))
    found = values(PictureCounts.from_masks(predicted, true, d))
    nan = {"zero_division": np.nan}
    samples = [
        jaccard_score(g.ravel(), p.ravel(), zero_division=1.0)
        for p, g in zip(predicted, true, strict=True)
    ]
    table = confusion_matrix(y, d, labels=[False, True])
    expected = seg_oracle(predicted, true, d) | {
        "pooled_miou": jaccard_score(true.ravel(), predicted.ravel()),
        "sample_miou": np.mean(samples),
        "sample_precision": precision_score(y, d, **nan),
        "sample_recall": recall_score(y, d, **nan),
        "sample_f1": f1_score(y, d, **nan),
        "sample_fpr": table[0, 1] / table[0].sum(),
        "escape_rate": table[1, 0] / table[1].sum(),
        "overkill_rate": table[0, 1] / table[0].sum(),
        "cost": np.nan,
    }
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_nothing_is_undefined_not_zero():
    row = evaluate_samples(PictureCounts.of([], [], [], [], []), costs=COSTS).overall
    numbers = [getattr(row, name) for name in row.replicates]
    assert all(np.isnan([e.value, e.low, e.high]).all() and e.n == 0 for e in numbers)
    assert np.isnan(row.escape_bound)
    found = evaluate_samples(PictureCounts.of([0], [0], [0], [0], [0])).to_dict()
    overall = json.loads(json.dumps(found, allow_nan=False))["overall"]
    assert overall["seg_miou"] == {"value": None, "low": None, "high": None, "n": 0}
    assert overall["sample_miou"]["value"] == 1


def test_unknown_and_empty_masks_are_left_out_and_counted():
    whole = PictureCounts.of([2, 0, 0], [1, 0, 0], [1, 4, 0], [1, 1, 0], [1, 0, 0])
    nan = np.nan
    more = PictureCounts.of([nan, nan, 0], [nan, nan, 3], [nan, nan, 0], [1, 0, 1], [1, 1, 1])
    joined = evaluate_samples(PictureCounts.merge([whole, more]), bootstrap=NONE).overall
    assert (joined.n_pictures, joined.n_masked, joined.n_empty_masks) == (6, 4, 1)
    alone = values(whole)
    for name in SEG:
        assert getattr(joined, name).value == alone[name]
    assert joined.seg_miou.n == 2
    assert joined.sample_recall.value == 3 / 4
    assert joined.sample_miou.value == pytest.approx((1 / 2 + 0 + 1 + 0) / 4)
    assert joined.pooled_miou.n == 4
    assert len(PictureCounts.merge([whole, more]).called_by_pixels().y) == 4


def test_columns_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        PictureCounts.of([1, 2], [1, 2], [1, 2], [True], [True, False])


@st.composite
def tables(draw):
    rows = draw(
        st.lists(
            st.tuples(*(st.integers(0, 9) for _ in range(3)), st.booleans(), st.booleans()),
            min_size=1,
            max_size=25,
        )
    )
    tp, fp, fn, y, d = (np.array(column) for column in zip(*rows, strict=True))
    return PictureCounts.of(tp * y, fp, fn * y, y, d)


@settings(max_examples=60, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_pictures_does_not_matter(counts, random):
    order = np.array(random.sample(range(counts.y.size), counts.y.size))
    moved = values(counts.select(order), costs=COSTS)
    assert moved == pytest.approx(values(counts, costs=COSTS), abs=1e-12, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(tables(), tables(), tables())
def test_shards_merge_to_the_whole(first, second, third):
    one = PictureCounts.merge([PictureCounts.merge([first, second]), third])
    other = PictureCounts.merge([first, PictureCounts.merge([second, third])])
    found, expected = (evaluate_samples(part, bootstrap=FEW) for part in (one, other))
    assert found.to_dict() == expected.to_dict()
    for name in PictureCounts.__slots__:
        np.testing.assert_array_equal(
            getattr(one, name),
            np.concatenate([getattr(part, name) for part in (first, second, third)]),
        )


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 50))
def test_true_negatives_leave_seg_metrics_unchanged(counts, n):
    good = PictureCounts.of(*np.zeros((5, n)))
    before, after = values(counts), values(PictureCounts.merge([counts, good]))
    names = (*SEG, "pooled_miou", "sample_precision", "sample_recall", "sample_f1", "escape_rate")
    for name in names:
        assert after[name] == pytest.approx(before[name], abs=1e-12, nan_ok=True)
    assert after["sample_miou"] >= before["sample_miou"]


@settings(max_examples=40, deadline=None)
@given(tables())
def test_seg_metrics_are_ordered(counts):
    found = values(counts)
    if not np.isnan(found["seg_recall"]):
        assert 1 >= found["seg_recall"] >= found["seg_recall_10"] >= found["seg_recall_30"]
        assert found["seg_recall_30"] >= found["seg_recall_50"] >= 0
        assert found["seg_recall_area"] <= found["seg_recall"]
        assert found["seg_miou"] <= found["seg_recall"] + 1e-12


def make_counts(seed, n=200, strength=0.6):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    d = np.where(y, rng.random(n) < 0.8, rng.random(n) < 0.15)
    area = y * rng.integers(10, 3000, n)
    tp = (area * rng.beta(6 * strength, 6 * (1 - strength), n)).astype(int)
    return PictureCounts.of(tp, d * rng.integers(0, 500, n), area - tp, y, d), area


def make_slices(area):
    return bin_slices("area", np.where(area > 0, area, np.nan), (500, 1500))


def test_resamples_are_exact_in_every_slice():
    counts, area = make_counts(0, n=60)
    slices = make_slices(area)
    whole = evaluate_samples(counts, slices=slices, costs=COSTS, bootstrap=FEW)
    weights = np.concatenate(list(resample_weights(60, 60, 0))).astype(int)
    for r in (0, 17, 59):
        drawn = np.repeat(np.arange(60), weights[r])
        inside = {name: chosen[drawn] for name, chosen in slices.items()}
        again = evaluate_samples(counts.select(drawn), slices=inside, costs=COSTS, bootstrap=NONE)
        for name, row in whole.rows().items():
            found = {metric: drawn_values[r] for metric, drawn_values in row.replicates.items()}
            other = again.rows()[name]
            expected = {metric: getattr(other, metric).value for metric in found}
            assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_slices_hold_their_defects_and_every_good_picture():
    counts, area = make_counts(1)
    slices = make_slices(area)
    assert list(slices) == ["area < 500", "area 500 to 1500", "area >= 1500"]
    result = evaluate_samples(counts, slices=slices, costs=COSTS, bootstrap=NONE)
    assert sum(row.n_defective for row in result.slices) == result.overall.n_defective
    for row, chosen in zip(result.slices, slices.values(), strict=True):
        assert row.n_masked == row.n_defective == chosen.sum()
        assert row.overkill_rate.to_dict() == result.overall.overkill_rate.to_dict()
        defects = values(counts.select(chosen))
        for name in (*SEG, "pooled_miou", "sample_miou", "sample_recall"):
            assert getattr(row, name).value == pytest.approx(defects[name])
        line = values(counts.select(chosen | ~counts.y), costs=COSTS)
        for name in ("sample_precision", "sample_f1", "sample_fpr", "cost"):
            assert getattr(row, name).value == pytest.approx(line[name])
    everyone = {"all of them": np.ones(200, dtype=bool)}
    same = evaluate_samples(counts, slices=everyone, bootstrap=NONE).slices[0]
    assert same.n_defective == result.overall.n_defective
    assert same.seg_recall.value == result.overall.seg_recall.value
    assert same.seg_miou.n == same.n_masked == result.overall.n_defective
    assert same.sample_fpr.value == result.overall.sample_fpr.value


def test_bins_hold_their_lower_edge():
    slices = bin_slices("area", [1, 2, 3, 5, 9, np.nan], (2, 5))
    found = {name: np.flatnonzero(chosen).tolist() for name, chosen in slices.items()}
    assert found == {"area < 2": [0], "area 2 to 5": [1, 2], "area >= 5": [3, 4]}


def test_cost_at_the_lines_own_share_of_defects():
    counts = PictureCounts.of(*np.zeros((3, 8)), y=[1] * 4 + [0] * 4, d=[1, 1, 1, 0] * 2)
    found = values(counts, costs=UnitCosts(100, 2, prevalence=0.01))
    assert found["cost"] == pytest.approx(0.01 * 100 / 4 + 0.99 * 2 * 3 / 4)


def test_no_escape_in_twenty_is_not_no_escapes():
    y = np.arange(60) < 20
    counts = PictureCounts.of(*np.zeros((3, 60)), y=y, d=y)
    row = evaluate_samples(counts).overall
    assert (row.escape_rate.low, row.escape_rate.high) == (0, 0)
    assert row.escape_bound == pytest.approx(1 - 0.05 ** (1 / 20))
    assert row.overkill_bound == pytest.approx(1 - 0.05 ** (1 / 40))
    shipped = PictureCounts.of(*np.zeros((3, 60)), y=y, d=~y)
    assert evaluate_samples(shipped, bootstrap=NONE).overall.escape_bound == 1


def test_intervals_hold_the_value_and_cover_the_truth():
    row = evaluate_samples(make_counts(2)[0], costs=COSTS).overall
    for name in row.replicates:
        estimate = getattr(row, name)
        assert estimate.low < estimate.value < estimate.high
    config = BootstrapConfig(n_resamples=200, confidence=0.9)
    covered = 0
    for seed in range(100):
        recall = evaluate_samples(make_counts(seed)[0], bootstrap=config).overall.sample_recall
        covered += recall.low <= 0.8 <= recall.high
    assert 80 <= covered <= 98


def test_paired_difference_sees_what_single_intervals_hide():
    ours, area = make_counts(3)
    moved = ours.tp // 20
    theirs = PictureCounts.of(ours.tp - moved, ours.fp, ours.fn + moved, ours.y, ours.d)
    slices, ids = make_slices(area), [f"p{i}" for i in range(200)]
    one = evaluate_samples(ours, slices=slices, ids=ids)
    other = evaluate_samples(theirs, slices=slices, ids=tuple(ids))
    gap = compare(one, other)
    for name in ("all", *slices):
        found = gap[name]["seg_miou"]
        single = one.rows()[name].seg_miou
        assert found.value == pytest.approx(single.value - other.rows()[name].seg_miou.value)
        assert 0 < found.low < found.value < found.high
        assert found.high - found.low < (single.high - single.low) / 2
    assert gap["all"]["sample_f1"].high == 0
    assert np.isnan(gap["all"]["cost"].value)


@pytest.mark.parametrize("change", ["ids", "costs", "slices", "bootstrap"])
def test_runs_that_differ_in_more_than_the_calls_are_not_paired(change):
    counts, area = make_counts(4)
    same = {
        "ids": [str(i) for i in range(200)],
        "costs": COSTS,
        "slices": make_slices(area),
        "bootstrap": FEW,
    }
    other = {
        "ids": [str(i + 1) for i in range(200)],
        "costs": UnitCosts(1, 1),
        "slices": make_slices(area * 2),
        "bootstrap": NONE,
    }
    changed = {**same, change: other[change]}
    compare(evaluate_samples(counts, **same), evaluate_samples(counts, **same))
    with pytest.raises(ValueError, match="same pictures"):
        compare(evaluate_samples(counts, **same), evaluate_samples(counts, **changed))


def test_ten_thousand_pictures_are_affordable():
    counts, area = make_counts(5, n=10_000)
    start = time.process_time()
    evaluate_samples(counts, slices=make_slices(area), costs=COSTS)
    assert time.process_time() - start < 3
