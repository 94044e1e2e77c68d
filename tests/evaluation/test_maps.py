"""Evaluation of maps per category: what counts, histograms, and bootstrap intervals."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from millsight.evaluation.metrics import (
    BootstrapConfig,
    RankingCurve,
    ScoreHistograms,
    aupro,
    compare,
    evaluate_maps,
    picture_pixels,
    pixel_curve,
)
from millsight.evaluation.metrics.bootstrap import Estimate, picture_curve, resample_weights
from millsight.evaluation.metrics.histograms import ranking_edges

FEW = BootstrapConfig(n_resamples=50)


def make_run(seed, n=24, shape=(20, 30), strength=1.0):
    """Pictures of one category: every third defective, maps that see it more or less well."""
    rng = np.random.default_rng(seed)
    masks = []
    for i in range(n):
        mask = np.zeros(shape, dtype=bool)
        if i % 3 == 0:
            y, x = rng.integers(0, shape[0] - 6), rng.integers(0, shape[1] - 8)
            mask[y : y + 6, x : x + 8] = True
        masks.append(mask)
    maps = [(rng.normal(size=shape) + strength * m).astype(np.float32) for m in masks]
    scores = [float(m.max()) for m in maps]
    return scores, [bool(m.any()) for m in masks], maps, masks


def test_numbers_are_the_oracles_per_category_and_mean():
    first, second = make_run(0), make_run(1)
    joined = [a + b for a, b in zip(first, second, strict=True)]
    result = evaluate_maps(*joined, categories=["a"] * 24 + ["b"] * 24, bootstrap=FEW)
    assert [row.category for row in result.categories] == ["a", "b"]
    for row, (scores, labels, maps, masks) in zip(result.categories, (first, second), strict=True):
        truth, values = np.stack(masks).ravel(), np.stack(maps).ravel()
        assert row.image_auroc.value == pytest.approx(roc_auc_score(labels, scores))
        assert row.image_ap.value == pytest.approx(average_precision_score(labels, scores))
        assert row.pixel_auroc.value == pytest.approx(roc_auc_score(truth, values))
        assert row.pixel_ap.value == pytest.approx(average_precision_score(truth, values))
        assert (row.n_pictures, row.n_defective, row.n_masked, row.n_regions) == (24, 8, 24, 8)
        assert row.n_pixels == 24 * 600
    mean = np.mean([row.aupro.value for row in result.categories])
    assert result.mean.aupro.value == pytest.approx(mean)
    assert result.mean.aupro.n == 2
    assert result.mean.n_pictures == 48


def test_interval_holds_the_value_and_quantising_errs_little():
    result = evaluate_maps(*make_run(2), categories=["a"] * 24).categories[0]
    for name in ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro"):
        estimate = getattr(result, name)
        assert estimate.low < estimate.value < estimate.high
    assert result.quantisation_error < 1 / 512


def test_unknown_truth_is_counted_apart():
    scores, labels, maps, masks = make_run(3)
    labels[1] = None
    masks[0] = None
    masks[2] = None
    masks[3] = np.zeros_like(masks[3])
    maps[4] = None
    result = evaluate_maps(scores, labels, maps, masks, categories=["a"] * 24, bootstrap=FEW)
    row = result.categories[0]
    assert (row.n_unlabelled, row.n_pictures, row.n_defective) == (1, 23, 8)
    # Of 23, defective number 0 has no mask and number 4 no map; normal number 2 needs no mask.
    assert row.n_masked == 21
    assert row.n_empty_masks == 1
    assert row.n_regions == 6
    assert row.aupro.n == 21
    assert row.image_auroc.n == 23


@pytest.mark.parametrize("label", [True, False, None])
def test_one_class_is_undefined_not_zero(label):
    scores, _, maps, _ = make_run(4, n=6)
    result = evaluate_maps(scores, [label] * 6, maps, [None] * 6, categories=["a"] * 6)
    row = result.categories[0]
    assert np.isnan([row.image_auroc.value, row.image_auroc.low, row.aupro.value]).all()
    assert np.isnan([row.pixel_auroc.value, result.mean.pixel_auroc.value]).all()
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["mean"]["aupro"]["low"] is None


def test_no_pictures_at_all():
    result = evaluate_maps([], [], [], [], categories=[])
    assert result.categories == ()
    assert np.isnan(result.mean.image_auroc.value)


def test_grids_are_scored_at_the_masks_resolution():
    grid = np.array([[0.0, 1.0], [0.0, 0.0]], dtype=np.float16)
    mask = np.zeros((8, 8), dtype=bool)
    mask[:4, 4:] = True
    pixels = picture_pixels(grid, mask)
    assert pixels.scores.size == 64
    assert float(pixel_curve([pixels]).auroc()) > 0.95
    assert picture_pixels(grid, None, (8, 8)).scores.size == 64
    assert picture_pixels(grid, None).scores.size == 4


def test_resize_is_torchs_bilinear():
    torch = pytest.importorskip("torch")
    grid = np.random.default_rng(0).random((7, 5), dtype=np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(grid)[None, None], size=(23, 31), mode="bilinear", align_corners=False
    )
    ours = picture_pixels(grid, None, (23, 31)).scores.reshape(23, 31)
    np.testing.assert_allclose(ours, expected[0, 0].numpy(), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 11), st.integers(0, 2**16))
def test_shards_merge_to_the_whole(cut, seed):
    _, _, maps, masks = make_run(seed, n=12)
    pixels = [picture_pixels(m, g) for m, g in zip(maps, masks, strict=True)]
    edges = ranking_edges(pixel_curve(pixels), 64)
    whole = ScoreHistograms.of(pixels, edges)
    parts = [ScoreHistograms.of(part, edges) for part in (pixels[:cut], pixels[cut:])]
    merged = ScoreHistograms.merge(parts)
    for name in ("negatives", "positives", "overlap"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(merged, name))
    assert merged.curve().negatives.sum() + merged.curve().positives.sum() == 12 * 600
    with pytest.raises(ValueError, match="edges"):
        ScoreHistograms.merge([whole, ScoreHistograms.of(pixels, edges[1:])])


def test_histograms_of_few_levels_are_exact():
    rng = np.random.default_rng(0)
    _, _, maps, masks = make_run(5)
    levels = [np.clip(m, -1, 1.5).round(1) for m in maps]  # each holds a defective pixel
    pixels = [picture_pixels(m, g) for m, g in zip(levels, masks, strict=True)]
    exact = pixel_curve(pixels)
    histograms = ScoreHistograms.of(pixels, ranking_edges(exact))
    assert float(histograms.curve().auroc()) == pytest.approx(float(exact.auroc()), abs=1e-6)
    assert float(aupro(histograms.curve())) == pytest.approx(float(aupro(exact)), abs=1e-6)
    # A resample equals the exact metric of the pictures drawn.
    weights = next(iter(resample_weights(24, 3, 7)))
    curves = histograms.curve(weights)
    for row, counts in enumerate(weights.astype(int)):
        drawn = [p for p, times in zip(pixels, counts, strict=True) for _ in range(times)]
        rng.shuffle(drawn)
        again = pixel_curve(drawn)
        assert curves.auroc()[row] == pytest.approx(float(again.auroc()), abs=1e-6)
        assert aupro(curves)[row] == pytest.approx(float(aupro(again)), abs=1e-6)
        assert curves.f1_max()[0][row] == pytest.approx(float(again.f1_max()[0]), abs=1e-6)


def test_picture_resamples_are_exact():
    rng = np.random.default_rng(0)
    scores, labels = rng.random(40).round(1).astype(np.float32), rng.random(40) < 0.4
    weights = next(iter(resample_weights(40, 5, 0)))
    curves = picture_curve(scores, labels, weights)
    for row, counts in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(40), counts)
        again = RankingCurve.from_scores(scores[drawn], labels[drawn])
        assert curves.auroc()[row] == pytest.approx(float(again.auroc()))
        assert curves.average_precision()[row] == pytest.approx(float(again.average_precision()))


def test_resamples_are_seeded_and_draw_n_pictures():
    one, two = (np.concatenate(list(resample_weights(9, 20, 3))) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (one.sum(1) == 9).all()
    assert len(np.unique(one, axis=0)) > 15


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """AUROC of unit normals one apart is Phi(1/sqrt 2) = 0.76025."""
    covered, rounds = 0, 200
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        labels = rng.random(80) < 0.5
        scores = rng.normal(size=80) + labels
        weights = next(iter(resample_weights(80, 300, seed)))
        replicates = picture_curve(scores, labels, weights).auroc()
        estimate = Estimate.of(0.76, replicates, 0.9, 80)
        covered += estimate.low <= 0.76025 <= estimate.high
    assert 0.82 <= covered / rounds <= 0.96


def test_paired_difference_sees_what_single_intervals_hide():
    scores, labels, maps, masks = make_run(6, n=60)
    better = [m + 0.15 * g for m, g in zip(maps, masks, strict=True)]
    names = ["a"] * 60
    ours = evaluate_maps(scores, labels, better, masks, categories=names)
    theirs = evaluate_maps(scores, labels, maps, masks, categories=names)
    gap = compare(ours, theirs)["a"]["pixel_auroc"]
    one, other = ours.categories[0].pixel_auroc, theirs.categories[0].pixel_auroc
    assert gap.value == pytest.approx(one.value - other.value)
    assert 0 < gap.low < gap.value < gap.high
    assert gap.high - gap.low < (one.high - one.low) / 2
    assert compare(ours, ours)["mean"]["aupro"].high == 0


def test_runs_over_other_pictures_are_not_paired():
    first = evaluate_maps(*make_run(7), categories=["a"] * 24, bootstrap=FEW)
    second = evaluate_maps(*make_run(8, n=21), categories=["a"] * 21, bootstrap=FEW)
    with pytest.raises(ValueError, match="same pictures"):
        compare(first, second)


def test_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        evaluate_maps([0.5], [True, False], [None], [None], categories=["a"])


def test_a_million_pixels_are_affordable():
    run = make_run(9, n=20, shape=(224, 224))
    start = time.process_time()
    evaluate_maps(*run, categories=["a"] * 20)
    assert time.process_time() - start < 3
