"""Detection metrics against pycocotools and faster-coco-eval, and their properties."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import faster_coco_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from millsight.evaluation.metrics import coco_matching
from millsight.evaluation.metrics.bootstrap import resample_weights
from millsight.evaluation.metrics.box_matches import COCO_SIZES, BoxMatches, PictureBoxes
from millsight.evaluation.metrics.detection import (
    DETECTION_METRICS,
    evaluate_boxes,
    evaluate_matches,
)
from millsight.evaluation.metrics.results import BootstrapConfig, compare

NO_BOOTSTRAP = BootstrapConfig(n_resamples=0)
CLASSES = ("scratch", "pit", "scale")


def random_picture(rng, n_truth, n_found, *, n_classes=3, decimals=8, crowd=0.0):
    """Half of the predictions are shifted true boxes, the others anywhere."""
    corner, size = rng.uniform(0, 200, (n_truth, 2)), rng.uniform(4, 180, (n_truth, 2))
    truth = np.hstack([corner, corner + size])
    labels = rng.integers(0, n_classes, n_truth)
    corner, size = rng.uniform(0, 200, (n_found, 2)), rng.uniform(4, 180, (n_found, 2))
    found, found_labels = np.hstack([corner, corner + size]), rng.integers(0, n_classes, n_found)
    near = min(n_found // 2, n_truth)
    found[:near] = truth[:near] + rng.normal(0, 3, (near, 4))
    found_labels[:near] = labels[:near]
    scores = np.round(rng.random(n_found), decimals)
    flags = rng.random(n_truth) < crowd
    return PictureBoxes(truth, labels, found, found_labels, scores, truth_crowd=flags)


def coco_dicts(pictures, n_classes):
    truth, found = [], []
    for row, picture in enumerate(pictures, 1):
        sides = picture.truth_boxes[:, 2:] - picture.truth_boxes[:, :2]
        areas = sides.prod(1) if picture.truth_areas is None else picture.truth_areas
        crowd = picture.truth_crowd
        for i, (x0, y0, x1, y1) in enumerate(picture.truth_boxes.tolist()):
            item = {"id": len(truth) + 1, "image_id": row, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            item |= {"category_id": int(picture.truth_labels[i]) + 1, "area": float(areas[i])}
            truth.append(item | {"iscrowd": 0 if crowd is None else int(crowd[i])})
        for i, (x0, y0, x1, y1) in enumerate(picture.boxes.tolist()):
            item = {"id": len(found) + 1, "image_id": row, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            item |= {"area": (x1 - x0) * (y1 - y0), "score": float(picture.scores[i])}
            found.append(item | {"category_id": int(picture.labels[i]) + 1, "iscrowd": 0})
    base = {
        "images": [{"id": row + 1} for row in range(len(pictures))],
        "categories": [{"id": label + 1, "name": str(label)} for label in range(n_classes)],
    }
    return {**base, "annotations": truth}, {**base, "annotations": found}


def run_oracle(pictures, n_classes, make, evaluator, ranges=None):
    sides = [make(content) for content in coco_dicts(pictures, n_classes)]
    run = evaluator(*sides, "bbox")
    if ranges is not None:
        run.params.areaRng, run.params.areaRngLbl = ranges, [str(r) for r in ranges]
    with contextlib.redirect_stdout(io.StringIO()):
        run.evaluate()
        run.accumulate()
    return np.asarray(run.eval["precision"]), np.asarray(run.eval["recall"])


def make_coco(content):
    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def oracle(pictures, n_classes, ranges=None):
    """COCO's -1 for undefined as NaN: ``(T, R, K, A, M)`` and ``(T, K, A, M)``."""
    precision, recall = run_oracle(pictures, n_classes, make_coco, COCOeval, ranges)
    return np.where(precision < 0, np.nan, precision), np.where(recall < 0, np.nan, recall)


def mean(values):
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def expected_rows(precision, recall, classes, sizes):
    choices = {"all": (slice(None), 0)}
    choices |= {f"class:{name}": ([k], 0) for k, name in enumerate(classes)}
    choices |= {f"size:{name}": (slice(None), a) for a, name in enumerate(sizes, 1)}
    return {
        name: {
            "map_50": mean(precision[0][:, k, a, -1]),
            "map_50_95": mean(precision[:, :, k, a, -1]),
            "ar_1": mean(recall[:, k, a, 0]),
            "ar_10": mean(recall[:, k, a, 1]),
            "ar_100": mean(recall[:, k, a, 2]),
        }
        for name, (k, a) in choices.items()
    }


def check_against_pycocotools(pictures, classes=CLASSES, sizes=COCO_SIZES):
    evaluation = evaluate_boxes(pictures, classes, sizes=sizes, bootstrap=NO_BOOTSTRAP)
    ranges = [[0, 1e10], *map(list, sizes.values())]
    expected = expected_rows(*oracle(pictures, len(classes), ranges), classes, sizes)
    rows = evaluation.rows()
    assert list(rows) == list(expected)
    for name, row in rows.items():
        found = {metric: getattr(row, metric).value for metric in DETECTION_METRICS}
        assert found == pytest.approx(expected[name], abs=1e-6, nan_ok=True), name
    return evaluation


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_pycocotools_agrees_on_random_and_tied_scores(seed, decimals):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 9, (25, 2))
    check_against_pycocotools([random_picture(rng, *n, decimals=decimals) for n in numbers])


@pytest.mark.parametrize(
    ("n_truth", "n_found"), [(0, 0), (0, 4), (4, 0), (1, 1), (30, 60), (3, 260)]
)
def test_pycocotools_agrees_on_degenerate_and_crowded_pictures(n_truth, n_found):
    rng = np.random.default_rng(7)
    pictures = [random_picture(rng, n_truth, n_found) for _ in range(3)]
    check_against_pycocotools(pictures)
    check_against_pycocotools(pictures[:1] + [random_picture(rng, 0, 0)] * 2)


def test_pycocotools_agrees_on_one_class_and_custom_sizes():
    rng = np.random.default_rng(3)
    pictures = [random_picture(rng, 6, 9, n_classes=1) for _ in range(20)]
    sizes = {"fine": (0.0, 400.0), "coarse": (400.0, 5000.0), "gap": (2e4, 1e10)}
    check_against_pycocotools(pictures, ("pit",), sizes)


def test_pycocotools_agrees_on_crowd_regions_and_given_areas():
    rng = np.random.default_rng(5)
    pictures = [random_picture(rng, 8, 14, crowd=0.3) for _ in range(20)]
    areas = [rng.uniform(10, 20000, p.truth_labels.size) for p in pictures]
    check_against_pycocotools(
        [replace(p, truth_areas=a) for p, a in zip(pictures, areas, strict=True)]
    )


def test_what_a_crowd_ignores_depends_on_the_threshold():
    """The surer box lies in the crowd by 60 %: ignored up to IoU 0.6, a false alarm above."""
    truth = np.array([[0.0, 0, 10, 10], [100, 0, 200, 100]])
    found = np.array([[0.0, 0, 10, 10], [160, 0, 260, 100], [140, 0, 240, 100]])
    labels, crowd = np.zeros(2, int), np.array([False, True])
    scores = np.array([0.5, 0.4, 0.9])
    picture = PictureBoxes(truth, labels, found, np.zeros(3, int), scores, truth_crowd=crowd)
    row = check_against_pycocotools([picture], ("pit",)).all
    assert row.map_50.value == pytest.approx(1)
    assert row.map_50_95.value < 0.7


def test_faster_coco_eval_agrees_with_its_own_accumulation():
    rng = np.random.default_rng(11)
    pictures = [random_picture(rng, 6, 10, decimals=1) for _ in range(40)]
    precision, recall = run_oracle(
        pictures, 3, faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster
    )
    row = evaluate_boxes(pictures, CLASSES, bootstrap=NO_BOOTSTRAP).all
    assert row.map_50.value == pytest.approx(precision[0, :, :, 0, -1].mean(), abs=1e-6)
    assert row.map_50_95.value == pytest.approx(precision[:, :, :, 0, -1].mean(), abs=1e-6)
    assert row.ar_100.value == pytest.approx(recall[:, :, 0, -1].mean(), abs=1e-6)


def test_pictures_in_many_chunks_match_alike(monkeypatch):
    rng = np.random.default_rng(2)
    pictures = [random_picture(rng, *n) for n in rng.integers(0, 6, (23, 2))]
    whole = BoxMatches.of(pictures, CLASSES)
    monkeypatch.setattr(coco_matching, "_CHUNK", 4)
    same(whole, BoxMatches.of(pictures, CLASSES))


def same(one, other):
    for name in BoxMatches.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


PICTURES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=9).map(
    lambda numbers: [random_picture(np.random.default_rng(i), *n) for i, n in enumerate(numbers)]
)


@settings(max_examples=40, deadline=None)
@given(PICTURES, st.randoms(use_true_random=False))
def test_order_of_pictures_does_not_matter(pictures, random):
    shuffled = random.sample(pictures, len(pictures))
    one, other = (evaluate_boxes(p, CLASSES, bootstrap=NO_BOOTSTRAP) for p in (pictures, shuffled))
    for a, b in zip(one.rows().values(), other.rows().values(), strict=True):
        assert a.n_truth == b.n_truth
        for name in DETECTION_METRICS:
            ours, theirs = getattr(a, name).value, getattr(b, name).value
            assert ours == pytest.approx(theirs, abs=1e-9, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(PICTURES, st.integers(0, 9))
def test_merged_shards_equal_the_whole(pictures, cut):
    shards = [BoxMatches.of(part, CLASSES) for part in (pictures[:cut], pictures[cut:])]
    merged, whole = BoxMatches.merge(shards), BoxMatches.of(pictures, CLASSES)
    same(merged, whole)
    config = BootstrapConfig(n_resamples=5)
    one, other = evaluate_matches(merged, config), evaluate_matches(whole, config)
    assert one.truth == other.truth
    assert one.to_dict() == other.to_dict()


def test_shards_of_other_classes_are_refused():
    shards = [BoxMatches.of([], names) for names in (("pit",), ("scale",))]
    with pytest.raises(ValueError, match="classes"):
        BoxMatches.merge(shards)


def test_a_replicate_is_the_metric_of_the_resampled_pictures():
    rng = np.random.default_rng(13)
    pictures = [random_picture(rng, *n, crowd=0.1) for n in rng.integers(0, 7, (15, 2))]
    config = BootstrapConfig(n_resamples=4, seed=9)
    evaluation = evaluate_boxes(pictures, CLASSES, bootstrap=config)
    drawn = np.concatenate(list(resample_weights(15, 4, 9))).astype(int)
    for row, counts in enumerate(drawn):
        resampled = [p for p, n in zip(pictures, counts, strict=True) for _ in range(n)]
        expected = expected_rows(*oracle(resampled, 3), CLASSES, COCO_SIZES)
        for name, metrics in evaluation.rows().items():
            found = {metric: metrics.replicates[metric][row] for metric in DETECTION_METRICS}
            assert found == pytest.approx(expected[name], abs=1e-6, nan_ok=True), name


def test_paired_difference_of_two_runs():
    rng = np.random.default_rng(17)
    pictures = [random_picture(rng, 5, 8) for _ in range(30)]
    blurred = [replace(p, boxes=p.boxes + rng.normal(0, 6, p.boxes.shape)) for p in pictures]
    config = BootstrapConfig(n_resamples=200)
    better, worse = (evaluate_boxes(p, CLASSES, bootstrap=config) for p in (pictures, blurred))
    gap = compare(better, worse)["all"]["map_50"]
    assert gap.value == pytest.approx(better.all.map_50.value - worse.all.map_50.value)
    assert 0 < gap.low <= gap.value <= gap.high
    assert compare(better, better)["size:small"]["ar_10"].high == 0
    other = evaluate_boxes(pictures[1:], CLASSES, bootstrap=config)
    with pytest.raises(ValueError, match="same pictures"):
        compare(better, other)


def test_undefined_is_nan_with_a_count():
    rng = np.random.default_rng(19)
    picture = random_picture(rng, 4, 4, n_classes=1)
    evaluation = evaluate_boxes([picture], CLASSES, bootstrap=BootstrapConfig(n_resamples=3))
    absent = evaluation.rows()["class:pit"]
    assert np.isnan([absent.map_50.value, absent.ar_1.value, absent.map_50.low]).all()
    assert (absent.n_truth, absent.n_classes) == (0, 0)
    assert (evaluation.all.n_truth, evaluation.all.n_classes) == (4, 1)
    assert evaluation.to_dict()["classes"][1]["map_50"]["value"] is None
    empty = evaluate_boxes([], CLASSES)
    assert np.isnan(empty.all.map_50.value)
    assert empty.n_pictures == 0


def test_perfect_boxes_are_one_and_more_than_a_hundred_are_counted():
    boxes = np.array([[0.0, 0, 10, 10], [20, 20, 90, 90]])
    labels = np.array([0, 1])
    perfect = PictureBoxes(boxes, labels, boxes, labels, np.array([0.9, 0.8]))
    row = evaluate_boxes([perfect], CLASSES, bootstrap=NO_BOOTSTRAP).all
    assert [row.map_50.value, row.map_50_95.value, row.ar_1.value] == pytest.approx([1, 1, 1])
    crowded = random_picture(np.random.default_rng(1), 2, 130, n_classes=1)
    assert evaluate_boxes([crowded], CLASSES, bootstrap=NO_BOOTSTRAP).n_dropped == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.array([0.5])}, "length"),
        ({"labels": np.array([0, 3])}, "no index"),
        ({"scores": np.array([0.5, np.nan])}, "finite"),
        ({"boxes": np.array([[0, 0, np.inf, 1.0], [0, 0, 1, 1]])}, "finite"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, message):
    boxes, labels = np.array([[0.0, 0, 10, 10], [20, 20, 90, 90]]), np.array([0, 1])
    picture = PictureBoxes(boxes, labels, boxes, labels, np.array([0.9, 0.8]))
    with pytest.raises(ValueError, match=message):
        evaluate_boxes([replace(picture, **change)], CLASSES)
