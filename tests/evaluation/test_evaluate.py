"""``millsight evaluate`` on predictions of any tool, and on runs side by side."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from millsight.evaluation.results import from_table, read_table, to_table, write_table
from millsight.evaluation.runs.commands import CostConfig, EvaluateConfig, evaluate
from millsight.evaluation.runs.written import read_metrics
from millsight.platform import cli, storage
from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.catalog.catalog import load_data
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import TrackingConfig, read_runs

SIDE, COUNT = 48, 8


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight good pictures and eight with a bright square, each with its own noise."""
    rng = np.random.default_rng(0)
    root = tmp_path / "sheet"
    for folder in ("train/good", "test/good", "test/dent", "ground_truth/dent"):
        (root / folder).mkdir(parents=True)
    for number in range(COUNT):
        for label in ("good", "dent"):
            picture = rng.integers(80, 120, (SIDE, SIDE), dtype=np.uint8)
            if label == "dent":
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[8 : 14 + 2 * number, 16:32] = 255
                picture[mask > 0] = 250
                cv2.imwrite(str(root / f"ground_truth/dent/{label}{number}_mask.png"), mask)
            cv2.imwrite(str(root / f"test/{label}/{label}{number}.png"), picture)
    cv2.imwrite(str(root / "train/good/first.png"), rng.integers(80, 120, (SIDE, SIDE)))
    return root


def threshold_masks(root: Path, folder: Path, cut: int = 200, *, missed: int = 2) -> Path:
    """What OpenCV makes of the pictures, in a folder of its own; some defects stay unseen."""
    folder.mkdir()
    for file in sorted(root.glob("test/*/*.png")):
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        _, mask = cv2.threshold(grey, cut, 255, cv2.THRESH_BINARY)
        if file.stem in [f"dent{number}" for number in range(missed)]:
            mask[:] = 0
        cv2.imwrite(str(folder / file.name), mask)
    return folder


def write_scores(root: Path, path: Path, *, noise: float = 0.3, classes: bool = False) -> Path:
    rng = np.random.default_rng(1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ("label", "class:good", "class:dent") if classes else ()
        writer.writerow(("file", "score", *names))
        for picture in sorted(root.glob("test/*/*.png")):
            score = float(np.clip((picture.parent.name == "dent") + rng.normal(0, noise), 0, 1))
            called = "dent" if score > 0.5 else "good"
            extra = (called, 1 - score, score) if classes else ()
            writer.writerow((f"{picture.parent.name}/{picture.name}", score, *extra))
    return path


def write_detections(root: Path, folder: Path) -> tuple[Path, Path]:
    """A COCO results file and the annotations of the numbers that it uses."""
    names = [file.relative_to(root).as_posix() for file in sorted(root.glob("test/*/*.png"))]
    images = [
        {"id": at, "file_name": name, "width": SIDE, "height": SIDE}
        for at, name in enumerate(names, start=1)
    ]
    square = [(image, int(image["file_name"][-5])) for image in images if "dent" in str(image)]
    truth = [
        {"id": at, "image_id": image["id"], "category_id": 7, "bbox": [16, 8, 16, 6 + 2 * number]}
        for at, (image, number) in enumerate(square, start=1)
    ]
    annotations, results = folder / "instances.json", folder / "detector.json"
    categories = [{"id": 7, "name": "dent"}]
    content = {"images": images, "annotations": truth, "categories": categories}
    annotations.write_text(json.dumps(content))
    found = [
        {name: item[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for item in truth[2:]
    ]
    false = {"image_id": 9, "category_id": 7, "bbox": [0, 0, 9, 9], "score": 0.3}
    results.write_text(json.dumps([*found, false]))
    return annotations, results


def run(folder: Path, **settings: Any) -> Artifact:
    tracking = TrackingConfig("disabled", directory=str(folder / "tracking"))
    settings = {"resamples": 40, "workspace": str(folder / "runs"), **settings}
    outcome = evaluate(EvaluateConfig(tracking=tracking, **settings))
    assert outcome.artifact is not None
    return outcome.artifact


def page_of(artifact: Artifact) -> str:
    return Path(artifact.file("report.html")).read_text(encoding="utf-8")


def test_a_mask_folder_of_another_tool(
    tmp_path: Path, pictures: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold_masks(pictures, tmp_path / "opencv")
    monkeypatch.chdir(tmp_path)
    costs = CostConfig(escape=100, overkill=5, prevalence=0.1)
    settings = {"data": pictures.name, "masks": "opencv", "costs": costs}
    artifact = run(tmp_path, **settings)
    metrics = artifact.manifest["metrics"]
    assert metrics["escape_rate"] == pytest.approx(2 / COUNT)
    assert metrics["overkill_rate"] == 0
    assert metrics["seg_miou"] == pytest.approx(6 / COUNT)
    assert metrics["cost"] == pytest.approx(0.1 * 100 * 2 / COUNT)
    assert "aupro" not in metrics
    rows = list(from_table(read_table(artifact.file("results.parquet"))))
    assert {row.split for row in rows} == {"test"}
    assert all(Path(row.predicted_mask_uri or "").is_absolute() for row in rows)
    assert len(rows) == 2 * COUNT
    page = page_of(artifact)
    for text in ("Ship or stop", "Worst misses", "Seg_Recall by true defect", 'class="predicted"'):
        assert text in page
    assert 'id="alarms"' not in page
    printed = capsys.readouterr().out
    assert "Escape rate" in printed
    assert run(tmp_path, **settings) == artifact


def test_probabilities_fill_maps_too_and_show_as_heat(tmp_path: Path, pictures: Path) -> None:
    folder = tmp_path / "soft"
    folder.mkdir()
    for file in sorted(pictures.glob("test/*/*.png")):
        cv2.imwrite(str(folder / file.name), cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
    artifact = run(tmp_path, data=str(pictures), masks=str(folder), threshold=0.7)
    metrics = artifact.manifest["metrics"]
    assert metrics["pixel_auroc"] == pytest.approx(1)
    assert metrics["seg_miou"] == pytest.approx(1)
    page = page_of(artifact)
    assert 'class="heat"' in page
    assert "Per-region overlap" in page


def test_detections_with_and_without_pictures_at_hand(tmp_path: Path, pictures: Path) -> None:
    annotations, results = write_detections(pictures, tmp_path)
    coco = {"detections": str(results), "annotations": str(annotations)}
    alone = run(tmp_path, score_threshold=0.5, **coco)
    metrics = alone.manifest["metrics"]
    assert metrics["map_50"] == pytest.approx(76 / 101)
    assert metrics["escape_rate"] == pytest.approx(2 / COUNT)
    assert metrics["overkill_rate"] == 0
    page = page_of(alone)
    assert "The picture could not be read" in page
    assert "Boxes at IoU 0.5" in page
    # The folder draws no boxes of its own, so those of the annotations are the truth.
    placed = run(tmp_path, data=str(pictures), **coco)
    assert placed.manifest["metrics"]["map_50"] == pytest.approx(76 / 101)
    assert "nothing says which pictures are stopped" in page_of(placed)
    listed = json.loads(annotations.read_text()) | {"annotations": []}
    annotations.write_text(json.dumps(listed))
    # Without them only the good pictures' boxes are known: there are none.
    withheld = run(tmp_path, data=str(pictures), **coco)
    assert read_metrics(withheld)["tasks"]["boxes"]["n_pictures"] == COUNT
    assert f"{COUNT} whose true boxes are unknown" in page_of(withheld)


def test_all_tasks_in_one_report_and_in_the_tracker(tmp_path: Path, pictures: Path) -> None:
    annotations, results = write_detections(pictures, tmp_path)
    catalog = load_data(pictures)
    boxed = [
        replace(sample, boxes=((16, 8, 32, 14 + 2 * int(sample.uri[-5])),), box_labels=("dent",))
        if sample.defective
        else sample
        for sample in catalog.samples
    ]
    catalog.with_samples(boxed).write(tmp_path / "boxed.parquet")
    artifact = run(
        tmp_path,
        data=str(tmp_path / "boxed.parquet"),
        masks=str(threshold_masks(pictures, tmp_path / "opencv")),
        scores=str(write_scores(pictures, tmp_path / "scores.csv", classes=True)),
        detections=str(results),
        annotations=str(annotations),
    )
    assert list(read_metrics(artifact)["tasks"]) == ["maps", "samples", "boxes", "classes"]
    page = page_of(artifact)
    for title in ("Headline", "Ship or stop", "Boxes", "Classes", "Confusion", "Reliability"):
        assert title in page
    assert "<script" not in page
    (record,) = read_runs(tmp_path / "tracking")
    assert record.summary["seg_miou"] == artifact.manifest["metrics"]["seg_miou"]
    assert {"samples_by_slice", "classes_by_class", "confusion", "worst_pictures"} <= set(
        record.tables
    )
    assert {"roc", "precision_recall", "reliability"} <= set(record.curves)
    worst = record.tables["worst_pictures"]
    assert worst[0]["verdict"] == "escape"
    assert set(worst[0]["picture"].masks) == {"truth", "prediction"}


def test_five_runs_side_by_side(tmp_path: Path, pictures: Path, capsys: Any) -> None:
    tables = [
        run(
            tmp_path,
            data=str(pictures),
            masks=str(threshold_masks(pictures, tmp_path / f"tool{missed}", missed=missed)),
        )
        for missed in range(5)
    ]
    capsys.readouterr()
    both = run(
        tmp_path,
        results=[tables[4].path, tables[0].file("results.parquet"), *(t.path for t in tables[1:4])],
        names=["worst", "best", "b", "c", "d"],
    )
    found = read_metrics(both)
    assert found["run"] == "worst"
    assert [other["run"] for other in found["others"]] == ["best", "b", "c", "d"]
    gap = found["others"][0]["differences"]["samples"]["all"]["seg_recall"]
    assert gap["value"] == pytest.approx(4 / COUNT)
    assert gap["low"] > 0
    page = page_of(both)
    assert 'class="gap better"' in page
    assert "Seg_Recall of every run" in page
    assert "+0.500*" in capsys.readouterr().out


def test_a_multitask_artifact_is_a_run(tmp_path: Path, pictures: Path) -> None:
    catalog = load_data(pictures)
    samples = catalog.where(split="test").samples
    recipe = Recipe("multitask", 1, {"split": "test"}, {"data": catalog.as_input()})
    with drafting(tmp_path / "multitask", recipe) as draft:
        lines = ["file,score,decision"]
        for sample in samples:
            mask = np.full((SIDE, SIDE), 255 * bool(sample.defective), np.uint8)
            _, data = cv2.imencode(".png", mask)
            storage.write_bytes(draft.file(f"masks/{sample.id}.png"), data.tobytes())
            lines.append(f"{sample.uri},{float(bool(sample.defective))},{int(bool(sample.label))}")
        storage.write_bytes(draft.file("predictions.csv"), "\n".join(lines).encode())
        model = draft.commit({})
    masks = threshold_masks(pictures, tmp_path / "opencv")
    artifact = run(tmp_path, data=str(pictures), masks=str(masks), results=[model.path])
    (other,) = read_metrics(artifact)["others"]
    assert other["run"] == f"multitask-{model.fingerprint[:12]}"
    assert other["headline"]["escape_rate"]["value"] == 0
    assert other["headline"]["overkill_rate"]["value"] == 1
    moved = pictures.rename(tmp_path / "elsewhere")
    (moved / "test/good/good0.png").unlink()
    with pytest.raises(UserError, match=r"1 pictures that .* predicts are not in its split"):
        run(tmp_path, data=str(moved), results=[model.path])


def test_runs_over_other_pictures_are_refused_by_name(tmp_path: Path, pictures: Path) -> None:
    masks = threshold_masks(pictures, tmp_path / "opencv")
    first = run(tmp_path, data=str(pictures), masks=str(masks))
    rows = list(from_table(read_table(first.file("results.parquet"))))
    write_table(tmp_path / "fewer.parquet", to_table(rows[1:], "fewer"))
    with pytest.raises(UserError, match="fewer against opencv: samples: the runs were judged on"):
        run(tmp_path, results=[first.path, str(tmp_path / "fewer.parquet")])


def test_generated_pictures_among_real_ones_are_refused_by_name(
    tmp_path: Path, pictures: Path
) -> None:
    masks = threshold_masks(pictures, tmp_path / "opencv")
    first = run(tmp_path, data=str(pictures), masks=str(masks))
    rows = list(from_table(read_table(first.file("results.parquet"))))
    path = tmp_path / "mixed.parquet"
    write_table(path, to_table([replace(rows[0], synthetic=True), *rows[1:]], "mixed"))
    with pytest.raises(UserError, match=rf"1 of 16 pictures are generated: .*{rows[0].uri[-9:]}"):
        run(tmp_path, results=[str(path)])
    all_of_them = [replace(row, synthetic=True) for row in rows]
    write_table(path, to_table(all_of_them, "drawn"))
    assert "16 pictures are generated" in page_of(run(tmp_path, results=[str(path)]))


def test_the_report_opens_only_the_masks_that_it_shows(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millsight.evaluation.reports import ReportLimits, render_report
    from millsight.evaluation.runs import report_content, sources
    from millsight.evaluation.runs.judged import judge

    masks = threshold_masks(pictures, tmp_path / "opencv")
    config = EvaluateConfig(data=str(pictures), masks=str(masks), resamples=0)
    runs = judge(sources.open_sources(config), CostConfig(), 0)
    opened: list[str] = []
    real = report_content.open_predicted

    def count(uri: str, size: tuple[int, int]) -> Any:
        opened.append(uri)
        return real(uri, size)

    monkeypatch.setattr(report_content, "open_predicted", count)
    content = report_content.report_content(runs)
    assert opened == []
    render_report(content, ReportLimits(n_pictures=5))
    assert len(opened) == 5


WRONG = [
    ({}, "name what to judge"),
    ({"masks": "m"}, "--data: say which pictures"),
    ({"results": list("abcdef")}, "6 runs; 5 at most"),
    ({"results": ["a", "b"], "names": ["x"]}, "--names: x; name each of the 2 runs"),
    ({"results": ["a", "b"], "names": ["x", "x"]}, "no two alike"),
    ({"results": ["a"], "boxes": "b"}, "--boxes are drawn over --maps"),
    ({"data": "d", "scores": "s", "threshold": 0.5}, "--threshold is for probabilities"),
    ({"data": "d", "scores": "s", "annotations": "a"}, "--annotations says what the ids"),
    ({"data": "d", "scores": "s", "decide": "score"}, "--decide score needs --score_threshold"),
    ({"data": "d", "scores": "s", "decide": "pixels"}, "--decide pixels needs --masks"),
    ({"data": "d", "masks": "m", "decide": "label"}, "--decide label needs --scores"),
    (
        {"data": "d", "masks": "m", "decide": "boxes", "score_threshold": 0.5},
        "--decide boxes needs --detections",
    ),
    ({"results": ["a"], "decide": "label"}, "--results hold decisions"),
    ({"results": ["a"], "costs": CostConfig(escape=1)}, "name both --costs.escape"),
    (
        {"results": ["a"], "costs": CostConfig(escape=1, overkill=1, prevalence=2)},
        "--costs.prevalence 2 is a share",
    ),
    ({"results": ["a"], "resamples": -1}, "--resamples -1"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvaluateConfig(**settings).check()


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(UserError) as caught:
        EvaluateConfig(masks="m", boxes="b", resamples=-1).check()
    assert len(str(caught.value).splitlines()) == 3


def test_the_command_line_names_what_is_missing(
    tmp_path: Path, pictures: Path, capsys: Any
) -> None:
    masks = threshold_masks(pictures, tmp_path / "opencv")
    words = ["evaluate", f"--data={pictures}", f"--masks={masks}", f"--workspace={tmp_path}"]
    assert cli.main([*words, "--split=val"]) == 2
    assert "--split val" in capsys.readouterr().err
    assert cli.main(["evaluate", "--results", str(tmp_path / "nothing")]) == 2
    assert "is not a finished artifact" in capsys.readouterr().err
    with drafting(tmp_path / "x", Recipe("maps", 1, {})) as draft:
        other = draft.commit()
    assert cli.main(["evaluate", "--results", other.path]) == 2
    assert "Name it with --maps." in capsys.readouterr().err
