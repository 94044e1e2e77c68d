from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millsight.evaluation.metrics import BootstrapConfig, UnitCosts, evaluate_maps
from millsight.evaluation.metrics.pixels import picture_pixels
from millsight.evaluation.results import PictureResult, ResultBox, merge, to_table
from millsight.evaluation.results.evaluating import (
    compare_results,
    evaluate_results,
    picture_loss,
    picture_verdict,
    result_curves,
)
from millsight.evaluation.results.histograms import count_pixels
from millsight.platform.errors import UserError

DRAWN = BootstrapConfig(n_resamples=60)
SIDE = 48


def blank(name: str, **columns: Any) -> PictureResult:
    return PictureResult(name, f"{name}.png", "strip", width=SIDE, height=SIDE, **columns)


def make_pictures(
    n: int = 24, seed: int = 0
) -> tuple[list[PictureResult], list[np.ndarray], list[np.ndarray]]:
    """Rows in the order of a table, with the maps and masks that they were counted from."""
    rng = np.random.default_rng(seed)
    rows, maps, masks = [], [], []
    for number in range(n):
        defective = number % 3 == 0
        mask = np.zeros((SIDE, SIDE), bool)
        if defective:
            x, y = rng.integers(4, 30, 2)
            mask[y : y + 9, x : x + 14] = True
        found = rng.normal(0.4 * mask, 0.3).astype(np.float16)
        category = "strip" if number < n // 2 else "tile"
        row = blank(f"{number:03d}", defective=defective, score=float(found.max()))
        histogram = count_pixels(picture_pixels(found, mask))
        area = int(mask.sum())
        rows.append(replace(row, category=category, map_histogram=histogram, defect_area=area or 0))
        maps.append(found)
        masks.append(mask)
    return rows, maps, masks


def test_maps_of_a_table_agree_with_those_that_see_every_pixel() -> None:
    rows, maps, masks = make_pictures()
    found = evaluate_results(to_table(rows, "run"), bootstrap=DRAWN).maps
    exact = evaluate_maps(
        [row.score or 0 for row in rows],
        [row.defective for row in rows],
        maps,
        masks,
        categories=[row.category for row in rows],
        bootstrap=DRAWN,
    )
    assert found is not None
    for name, row in exact.rows().items():
        mine = found.rows()[name]
        assert mine.image_auroc == row.image_auroc
        assert mine.image_ap == row.image_ap
        for metric in ("pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro"):
            ours, theirs = getattr(mine, metric), getattr(row, metric)
            assert ours.value == pytest.approx(theirs.value, abs=4e-3)
            assert ours.low == pytest.approx(theirs.low, abs=8e-3)
        counts = ("n_pictures", "n_defective", "n_masked", "n_regions", "n_pixels", "n_empty_masks")
        assert [getattr(mine, c) for c in counts] == [getattr(row, c) for c in counts]


def test_scores_without_maps_and_maps_without_scores() -> None:
    rows, _, _ = make_pictures()
    scored = evaluate_results(
        to_table([replace(row, map_histogram=None) for row in rows], "a"), bootstrap=DRAWN
    )
    mapped = evaluate_results(
        to_table([replace(row, score=None) for row in rows], "b"), bootstrap=DRAWN
    )
    assert set(scored.headline()) == {"image_auroc", "image_ap"}
    assert set(mapped.headline()) == {"pixel_auroc", "pixel_ap", "aupro"}
    assert mapped.main_rows()["maps"].n_pictures == 24  # type: ignore[attr-defined]


def everything(seed: int = 0) -> list[PictureResult]:
    """Rows that hold all four tasks."""
    rng = np.random.default_rng(seed)
    rows, _, _ = make_pictures(seed=seed)
    filled = []
    for row in rows:
        label = "dent" if row.defective else "good"
        called = label if rng.random() < 0.8 else "stain"
        classes = dict.fromkeys(("good", "dent", "stain"), 0.1) | {called: 0.8}
        box = ResultBox(4, 4, 20, 20, label="dent")
        filled.append(
            replace(
                row,
                label=label,
                predicted_label=called,
                class_scores=classes,
                decision=called != "good",
                tp=60 if row.defective else 0,
                fp=int(rng.integers(20)),
                fn=66 if row.defective else 0,
                true_boxes=(box,) if row.defective else (),
                predicted_boxes=(replace(box, score=float(rng.random())),),
            )
        )
    return filled


def test_all_tasks_at_once_and_shards_give_the_whole() -> None:
    rows, costs = everything(), UnitCosts(100, 5, 0.02)
    whole = evaluate_results(to_table(rows, "run"), costs=costs, bootstrap=DRAWN)
    assert list(whole.tasks()) == ["maps", "samples", "boxes", "classes"]
    shards = [to_table(part, "run") for part in (rows[::2], rows[1::2])]
    merged = evaluate_results(merge(shards), costs=costs, bootstrap=DRAWN)
    assert merged.to_dict() == whole.to_dict()
    names = ["image_auroc", "aupro", "seg_miou", "escape_rate", "cost", "map_50", "macro_f1"]
    assert [name for name in names if name not in whole.headline()] == []
    assert json.loads(json.dumps(whole.to_dict(), allow_nan=False)).keys() == whole.tasks().keys()


def test_a_run_differs_from_itself_by_nothing_and_from_another_one_truly() -> None:
    rows = everything()
    first = evaluate_results(to_table(rows, "one"), bootstrap=DRAWN)
    better = [
        replace(row, score=float(bool(row.defective)), decision=row.defective) for row in rows
    ]
    second = evaluate_results(to_table(better, "two"), bootstrap=DRAWN)
    for row in compare_results(first, first)["samples"].values():
        assert all(gap.value == 0 or np.isnan(gap.value) for gap in row.values())
    gaps = compare_results(second, first)
    assert set(gaps) == {"maps", "samples", "boxes", "classes"}
    gain = gaps["maps"]["mean"]["image_auroc"]
    assert gain.value == pytest.approx(1 - first.headline()["image_auroc"].value)
    assert gaps["samples"]["all"]["escape_rate"].value <= 0


def test_runs_that_name_other_classes_or_live_in_other_folders_are_still_paired() -> None:
    rows = everything()
    first = evaluate_results(to_table(rows, "one"), bootstrap=DRAWN)
    moved = [
        replace(
            row,
            uri=f"/elsewhere/{row.uri}",
            predicted_label="rust" if row.predicted_label == "stain" else row.predicted_label,
            class_scores={},
            predicted_boxes=(ResultBox(0, 0, 5, 5, label="rust", score=0.5),),
        )
        for row in rows
    ]
    second = evaluate_results(to_table(moved, "two"), bootstrap=DRAWN)
    gaps = compare_results(first, second)
    assert gaps["classes"]["all"]["accuracy"].value == 0
    assert "class rust" not in gaps["classes"]
    assert gaps["boxes"]["class:dent"]["map_50"].value > 0


def test_runs_over_other_pictures_or_another_truth_are_refused() -> None:
    rows = everything()
    first = evaluate_results(to_table(rows, "one"), bootstrap=DRAWN)
    fewer = evaluate_results(to_table(rows[1:], "two"), bootstrap=DRAWN)
    other = evaluate_results(
        to_table([replace(row, defective=True) for row in rows], "two"), bootstrap=DRAWN
    )
    with pytest.raises(UserError, match="different pictures or another truth"):
        compare_results(first, fewer)
    with pytest.raises(UserError, match="different pictures or another truth"):
        compare_results(first, other)
    redrawn = evaluate_results(to_table(rows, "one"), bootstrap=BootstrapConfig(n_resamples=5))
    with pytest.raises(UserError, match="drawn alike"):
        compare_results(first, redrawn)


def test_curves_are_the_ones_behind_the_numbers() -> None:
    rows = [replace(row, category="strip") for row in everything()]
    table = to_table(rows, "run")
    curves = {curve.name: curve for curve in result_curves(table)}
    assert list(curves) == ["roc", "precision_recall", "pro", "box_precision_recall", "reliability"]
    found = evaluate_results(table, bootstrap=BootstrapConfig(n_resamples=0)).headline()
    areas = {"pictures": found["image_auroc"].value, "pixels": found["pixel_auroc"].value}
    for name, area in areas.items():
        x, y = curves["roc"].series[name]
        assert np.trapezoid(y, x) == pytest.approx(area, abs=5e-3)
        assert len(x) <= 200
    x, y = curves["pro"].series["regions"]
    assert x[-1] == pytest.approx(0.3)
    assert np.trapezoid(y, x) / 0.3 == pytest.approx(found["aupro"].value, abs=5e-3)
    x, y = curves["box_precision_recall"].series["dent"]
    assert (min(y) >= 0, max(x)) == (True, 1.0)
    json.dumps([curve.to_dict() for curve in curves.values()], allow_nan=False)


def test_a_table_without_predictions_has_no_task_and_no_curve() -> None:
    table = to_table([blank("a", defective=True), blank("b", defective=False)], "run")
    found = evaluate_results(table, bootstrap=DRAWN)
    assert (found.tasks(), found.headline(), found.to_dict()) == ({}, {}, {})
    assert result_curves(table) == []
    unlabelled = evaluate_results(to_table([blank("a", score=0.5)], "run"), bootstrap=DRAWN)
    assert unlabelled.maps is not None
    assert (unlabelled.maps.mean.n_unlabelled, unlabelled.headline()) == (1, {})


def test_verdicts_and_the_worst_first() -> None:
    box = ResultBox(0, 0, 10, 10, "dent")
    rows = {
        "sure escape": blank("1", defective=True, decision=False, score=0.1),
        "close escape": blank("2", defective=True, decision=False, score=0.4),
        "overkill": blank("3", defective=False, decision=True, score=0.9),
        "wrong class": blank("4", label="dent", predicted_label="stain"),
        "half a mask": blank("5", defective=True, decision=True, tp=5, fp=0, fn=5),
        "missed box": blank("6", true_boxes=(box, box, box), predicted_boxes=()),
        "whole mask": blank("7", defective=True, decision=True, tp=9, fp=1, fn=0),
        "passed": blank("8", defective=False, decision=False, score=0.2),
    }
    verdicts = [picture_verdict(row) for row in rows.values()]
    assert verdicts == ["escape", "escape", "overkill", None, "caught", None, "caught", "passed"]
    order = sorted(rows, key=lambda name: -picture_loss(rows[name]))
    assert order[:4] == ["sure escape", "close escape", "overkill", "wrong class"]
    assert order[-2:] == ["whole mask", "passed"]
    assert picture_loss(rows["half a mask"]) == pytest.approx(0.5)
    assert picture_loss(rows["missed box"]) == pytest.approx(3 / 4)
    assert picture_loss(replace(rows["missed box"], predicted_boxes=(box,))) == 0


def test_an_unlabelled_picture_with_a_map_counts_nowhere() -> None:
    rows, _, _ = make_pictures()
    known = evaluate_results(to_table(rows, "run"), bootstrap=DRAWN)
    extra = replace(rows[0], sample_id="zzz", uri="zzz.png", defective=None)
    more = evaluate_results(to_table([*rows, extra], "run"), bootstrap=DRAWN)
    assert known.headline() == more.headline()
    assert more.maps is not None
    assert more.maps.mean.n_unlabelled == 1
    assert isinstance(to_table(rows, "run"), pa.Table)
