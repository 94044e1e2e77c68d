from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from millsight.evaluation.metrics import BootstrapConfig, compare
from millsight.evaluation.results import PictureResult, ResultBox, from_table, merge, to_table
from millsight.evaluation.results.judging import judge_boxes, judge_classes, judge_samples

EXACT = BootstrapConfig(n_resamples=0)


def known(name: str, **columns: Any) -> PictureResult:
    return PictureResult(name, f"{name}.png", "strip", width=100, height=100, **columns)


SCRATCHED = {"defective": True, "label": "scratch", "defect_area": 100, "defect_elongation": 8.0}
ROWS = [
    known("hit", **SCRATCHED, decision=True, tp=60, fp=20, fn=40),
    known("miss", defective=True, decision=False, tp=0, fp=0, fn=9216, defect_area=9216),
    known("alarm", defective=False, decision=True, tp=0, fp=5, fn=0, defect_area=0),
    known("passed", defective=False, decision=False, tp=0, fp=0, fn=0, defect_area=0),
    known("no masks", defective=True, decision=True),
    known("no truth", decision=True, tp=0, fp=9, fn=0),
    known("no decision", defective=True, tp=1, fp=1, fn=1),
]


def test_samples_by_hand() -> None:
    found = judge_samples(ROWS, bootstrap=EXACT)
    assert found is not None
    overall, rows = found.overall, found.rows()
    assert (overall.n_pictures, overall.n_defective, overall.n_masked) == (5, 3, 4)
    assert overall.seg_miou.value == pytest.approx((60 / 120) / 3)
    assert overall.seg_recall.value == pytest.approx(1 / 2)
    assert overall.sample_recall.value == pytest.approx(2 / 3)
    assert overall.overkill_rate.value == pytest.approx(1 / 2)
    assert rows["area < 1024"].escape_rate.value == 0
    assert rows["area >= 9216"].escape_rate.value == 1
    assert rows["elongation >= 5"].seg_miou.value == pytest.approx(0.5)
    assert math.isnan(rows["elongation < 2"].seg_miou.value)


def test_shards_judge_as_the_whole_and_a_run_differs_from_itself_by_nothing() -> None:
    shards = [to_table(ROWS[::2], "run"), to_table(ROWS[1::2], "run")]
    merged = list(from_table(merge(shards)))
    whole = judge_samples(list(from_table(to_table(ROWS, "run"))))
    again = judge_samples(merged)
    assert whole is not None
    assert again is not None
    assert whole.to_dict() == again.to_dict()
    gaps = compare(whole, again)["all"]
    assert gaps["seg_miou"].value == gaps["seg_miou"].low == gaps["seg_miou"].high == 0


def test_boxes_with_and_without_classes() -> None:
    true = ResultBox(10, 10, 30, 40, label="scratch")
    rows = [
        known("a", true_boxes=(true,), predicted_boxes=(replace(true, score=0.9),)),
        known("b", true_boxes=(true,), predicted_boxes=()),
        known("c", true_boxes=(), predicted_boxes=(replace(true, label=None, score=0.2),)),
        known("d", true_boxes=(true,)),
    ]
    found = judge_boxes(rows, bootstrap=EXACT)
    assert found is not None
    assert found.n_pictures == 3
    # Recall 0.5 at precision 1: 51 of COCO's 101 recall levels.
    assert found.rows()["class:scratch"].map_50.value == pytest.approx(51 / 101)
    assert math.isnan(found.rows()["class:defect"].map_50.value)


def test_classes_are_calibrated_only_where_all_scores_are_known() -> None:
    sure = {"good": 0.25, "scratch": 0.75}
    rows = [
        known("a", label="scratch", predicted_label="scratch", class_scores=sure),
        known("b", label="good", predicted_label="scratch", class_scores=sure),
        known("c", label="good"),
    ]
    found = judge_classes(rows, bootstrap=EXACT)
    assert found is not None
    assert (found.overall.n_pictures, found.overall.accuracy.value) == (2, 0.5)
    assert found.overall.ece.value == pytest.approx(0.25)
    assert found.confusion.tolist() == [[0, 1], [0, 1]]
    partly = [rows[0], replace(rows[1], class_scores={})]
    bare = judge_classes(partly, bootstrap=EXACT)
    assert bare is not None
    assert math.isnan(bare.overall.ece.value)


def test_a_table_without_a_task_gives_nothing_for_it() -> None:
    rows = [known("a", defective=True)]
    assert judge_samples(rows) is judge_boxes(rows) is judge_classes(rows) is None
