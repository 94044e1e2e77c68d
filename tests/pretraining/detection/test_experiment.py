"""Two starts, one number of labelled pictures and two seeds on tiny pictures and networks."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
import torch

from millsight.evaluation.metrics.bootstrap import Estimate
from millsight.evaluation.metrics.results import BootstrapConfig
from millsight.evaluation.results import table as tables
from millsight.evaluation.results.row import PictureResult, ResultBox
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, drafting, open_artifact
from millsight.platform.errors import UserError
from millsight.platform.executors.tasks import TaskExecutionConfig
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import TrackingConfig
from millsight.pretraining.downstream.detection.config import FinetuningConfig
from millsight.pretraining.downstream.detection.experiment import (
    From,
    Key,
    settings_of,
    start_from,
    write,
)
from millsight.pretraining.downstream.detection.experiment_commands import (
    DetectionExperimentConfig,
    experiment,
)
from millsight.pretraining.downstream.detection.experiment_table import compare
from millsight.pretraining.downstream.judging import DETECTION, judge_run
from millsight.pretraining.downstream.label_figure import draw
from millsight.pretraining.downstream.table_commands import TableConfig, table

NET = "random:timm:resnet10t?seed=0"
TRAINING = FinetuningConfig(
    backbone=NET, image_size=64, width=32, proposals=16, batch_size=2, holdout=0.3, scale=0.0
)
METRICS = ("map_50", "map_50_95")


def draw_pictures(root: Path, count: int, split: str) -> None:
    """Grey noise with a bright or a dark square, in COCO's layout."""
    rng = np.random.default_rng(count)
    images, annotations = [], []
    (root / "images").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = rng.integers(90, 130, (64, 64, 3), dtype=np.uint8)
        x, y, side = (int(value) for value in rng.integers((4, 4, 20), (24, 24, 34)))
        picture[y : y + side, x : x + side] += np.uint8(120 if number % 2 else 166)
        name = f"images/{split}{number}.png"
        cv2.imwrite(str(root / name), picture)
        images.append({"id": number, "file_name": name, "width": 64, "height": 64})
        box = {"bbox": [x, y, side, side], "area": side * side, "iscrowd": 0}
        kind = {"id": number + 1, "image_id": number, "category_id": number % 2 + 1}
        annotations.append(box | kind)
    classes = [{"id": 1, "name": "dark"}, {"id": 2, "name": "bright"}]
    content = {"images": images, "annotations": annotations, "categories": classes}
    (root / f"instances_{split}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    before = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("experiment")
    draw_pictures(folder / "set", 14, "train")
    draw_pictures(folder / "set", 8, "test")
    config = DetectionExperimentConfig(
        workspace=str(folder / "runs"),
        data=str(folder / "set"),
        name="squares",
        starts=["scratch=scratch", f"ImageNet={NET}"],
        reference="ImageNet",
        labelled=[5],
        seeds=[0, 1],
        steps=4,
        validations=1,
        training=TRAINING,
        tracking=TrackingConfig("disabled", directory=str(folder / "tracking")),
        accelerator="cpu",
        threads=1,
    )
    yield config, experiment(config)
    torch.set_num_threads(before)


def rows_of(outcome):
    content = json.loads(Path(outcome.artifact.path, "rows.json").read_text("utf-8"))
    assert content["data"] == "squares"
    return {(row["start"], row["minus"]): row for row in content["rows"]}


def trainings(config):
    """By (from pretrained weights, seed)."""
    found = [path.parent for path in Path(config.workspace).glob("detection-*/artifact.json")]
    opened = map(open_artifact, found)
    return {(run.config["pretrained"], run.config["seed"]): run for run in opened}


def predictions(folder: Path, start: str, seed: int, error: float) -> Artifact:
    """A finetuning's result table: each edge is off by at most ``error`` pixels."""
    rng = np.random.default_rng((seed, round(error)))
    rows = []
    for number in range(12):
        corners = np.array([4.0, 4, 44, 44]) + number
        found = corners + rng.uniform(-error, error, 4)
        rows.append(
            PictureResult(
                f"{number:02}",
                f"{number}.png",
                "squares",
                64,
                64,
                true_boxes=(ResultBox(*corners, label="dark"),),
                predicted_boxes=(ResultBox(*found, label="dark", score=rng.uniform()),),
            )
        )
    path = folder / f"{start}{seed}"
    storage.write_table(str(path / tables.FILE), tables.to_table(rows, "0" * 64))
    return Artifact(str(path), {})


def test_rows_are_means_and_paired_differences_over_seeds(tmp_path):
    errors = {"good": 12.0, "poor": 17.0, "worse": 30.0}
    trained = {
        Key(start, 5, seed): predictions(tmp_path, start, seed, error)
        for start, error in errors.items()
        for seed in (0, 1)
    }
    with drafting(tmp_path / "made", Recipe("test", 1, {})) as draft:
        write(draft, None, "poor", trained)
        content = json.loads(Path(draft.file("rows.json")).read_text("utf-8"))
    assert content["data"] == "squares"
    rows = {(row["start"], row["minus"]): row for row in content["rows"]}
    assert list(rows) == [
        *(("good", None), ("poor", None), ("worse", None)),
        *(("good", "poor"), ("worse", "poor")),
    ]
    judged = {key: judge_run(run, DETECTION, BootstrapConfig()) for key, run in trained.items()}
    for name in METRICS:
        ours, theirs = ([judged[Key(s, 5, seed)] for seed in (0, 1)] for s in ("good", "poor"))
        values = [getattr(run, name).value for run in ours]
        row = rows["good", None][name]
        assert len(set(values)) == 2
        assert row["seeds"] == pytest.approx(values)
        assert row["value"] == pytest.approx(np.mean(values))
        assert row["spread"] == pytest.approx(np.std(values, ddof=1))
        gap = np.mean(values) - np.mean([getattr(run, name).value for run in theirs])
        pairs = zip(ours, theirs, strict=True)
        drawn = np.mean([a.replicates[name] - b.replicates[name] for a, b in pairs], axis=0)
        wanted = Estimate.of(gap, drawn, 0.95, 12)
        found = rows["good", "poor"][name]
        assert [found["value"], found["low"], found["high"]] == pytest.approx(
            [wanted.value, wanted.low, wanted.high]
        )
        assert gap > 0
        assert rows["worse", "poor"][name]["value"] < 0


def test_every_start_is_finetuned_with_every_seed(made):
    config, outcome = made
    runs = trainings(config)
    assert set(runs) == {(start, seed) for start in (False, True) for seed in (0, 1)}
    for run in runs.values():
        settings = (run.config[name] for name in ("labelled", "epochs", "validate_every"))
        assert tuple(settings) == (5, 2, 2)
        assert run.manifest["metrics"]["pictures_learned"] == 5
    rows = rows_of(outcome)
    assert list(rows) == [("scratch", None), ("ImageNet", None), ("scratch", "ImageNet")]
    for row in rows.values():
        assert (row["labelled"], row["map_50"]["n"], len(row["map_50"]["seeds"])) == (5, 8, 2)


def test_a_second_run_trains_nothing_and_one_more_seed_only_that(made):
    config, outcome = made
    written = {
        run.path: Path(run.path, "artifact.json").stat() for run in trainings(config).values()
    }
    assert experiment(config).artifact == outcome.artifact
    more = experiment(replace(config, starts=config.starts[:1], reference=None, seeds=[0, 2]))
    assert more.artifact.fingerprint != outcome.artifact.fingerprint
    assert set(trainings(config)) == {(False, 0), (False, 1), (False, 2), (True, 0), (True, 1)}
    for path, stat in written.items():
        assert Path(path, "artifact.json").stat().st_mtime_ns == stat.st_mtime_ns


def test_the_table_has_the_papers_layout(made, tmp_path):
    _, outcome = made
    found = table(TableConfig(experiments=[outcome.artifact.path], workspace=str(tmp_path)))
    root = Path(found.artifact.path)
    lines = (root / "table.md").read_text("utf-8").splitlines()
    assert lines[0] == "| start | squares, 5: mAP@.5 | squares, 5: mAP@.5:.95 |"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in cells] == ["scratch", "ImageNet", "scratch - ImageNet"]
    rows = rows_of(outcome)
    value = rows["scratch", None]["map_50"]
    spread = f"± {value['spread']:.3f}"
    interval = f"[{value['low']:.3f}, {value['high']:.3f}]"
    assert cells[0][1] == f"{value['value']:.3f} {interval} {spread}"
    assert cells[2][2].startswith(f"{rows['scratch', 'ImageNet']['map_50_95']['value']:+.3f} [")
    with (root / "table.csv").open(encoding="utf-8") as file:
        entries = list(csv.DictReader(file))
    assert len(entries) == 3 * 2
    assert float(entries[0]["value"]) == pytest.approx(value["value"])
    assert (entries[-1]["labelled"], entries[-1]["minus"]) == ("5", "ImageNet")
    assert json.loads((root / "table.json").read_text("utf-8"))[0]["data"] == "squares"


def test_experiments_on_the_same_data_share_its_columns(tmp_path):
    def made(number: int, data: str, start: str, labelled: int | None) -> Artifact:
        value = {"value": number / 10, "low": 0.0, "high": 1.0, "spread": None}
        row = {"labelled": labelled, "start": start, "minus": None} | dict.fromkeys(METRICS, value)
        rows = [row, row | {"start": "b", "minus": "a"}]
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "rows.json").write_text(json.dumps({"data": data, "rows": rows}))
        return Artifact(str(folder), {})

    shown = compare([made(1, "x", "a", 50), made(2, "x", "c", 50), made(3, "y", "a", None)])
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in shown.splitlines()]
    assert cells[0][1::2] == ["x, 50: mAP@.5", "y, all: mAP@.5"]
    assert [row[0] for row in cells[2:]] == ["a", "c", "b - a"]
    assert cells[2][1::2] == ["0.100 [0.000, 1.000]", "0.300 [0.000, 1.000]"]
    assert cells[3][1::2] == ["0.200 [0.000, 1.000]", ""]


def test_the_figure_puts_values_where_the_axis_says():
    def row(start, labelled, value):
        found = {"value": value, "low": value - 0.1, "high": value + 0.1}
        return {"start": start, "minus": None, "labelled": labelled} | dict.fromkeys(METRICS, found)

    rows = [row("a", None, 0.5), row("a", 50, 0.2), row("b", 50, 0.4)]
    figure = ET.fromstring(draw([{"data": "squares", "rows": rows}], DETECTION.metrics))  # noqa: S314
    texts = {text.text: text for text in figure.findall(".//{*}text")}
    assert {"squares: mAP@.5", "squares: mAP@.5:.95", "50", "all", "● a", "● b"} <= set(texts)
    circles = figure.findall(".//{*}circle")
    hints = [circle[0].text for circle in circles][:3]
    assert hints[0] == "a, 50 pictures: 0.200 [0.100, 0.300]"
    assert hints[1] == "a, all pictures: 0.500 [0.400, 0.600]"
    # A label's baseline lies 4 under its line.
    axis = {label: float(texts[label].get("y")) - 4 for label in ("0.2", "0.4", "0.5")}
    assert [float(c.get("cy")) for c in circles[:3]] == [axis["0.2"], axis["0.5"], axis["0.4"]]
    places = [float(circle.get("cx")) for circle in circles[:3]]
    assert places[0] < float(texts["50"].get("x")) < places[2] < places[1]


def test_few_pictures_are_seen_more_often():
    config = DetectionExperimentConfig(
        data="x",
        starts=["scratch=scratch"],
        steps=600,
        labelled=[50, 500, None],
        training=FinetuningConfig(batch_size=8, epochs=7, validate_every=3),
    )
    config.check()
    of = {
        count: settings_of(config, From(), Key("a", count, 0)).training for count in (50, 500, None)
    }
    # 50 pictures are 6 whole batches of 8; 500 are 62.
    assert [of[count].epochs for count in (50, 500, None)] == [100, 10, 7]
    assert [of[count].validate_every for count in (50, 500, None)] == [10, 1, 3]
    alike = replace(config, steps=None)
    assert settings_of(alike, From(), Key("a", 50, 0)).training.epochs == 7


def test_trainings_on_ray_get_what_a_worker_has(made):
    config = replace(made[0], execution=TaskExecutionConfig("ray", cpus_per_worker=3))
    key = Key("a", 5, 0)
    assert settings_of(config, From(), key).threads == 3
    without = replace(config, accelerator="auto")
    assert settings_of(without, From(), key).accelerator == "cpu"
    with_gpu = replace(without, execution=replace(config.execution, gpus_per_worker=0.5))
    assert settings_of(with_gpu, From(), key).accelerator == "auto"


def test_what_a_start_may_be(tmp_path):
    def artifact(kind: str) -> str:
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "artifact.json").write_text(json.dumps({"kind": kind}))
        return str(folder)

    assert start_from("scratch") == From(training={"pretrained": False})
    assert start_from("timm:resnet50") == From(training={"backbone": "timm:resnet50"})
    detector, backbone = artifact("detector"), artifact("backbone")
    assert start_from(detector) == From(weights=detector)
    assert start_from(backbone) == From(training={"backbone": f"path:{backbone}/backbone"})
    with pytest.raises(UserError, match="'maps', neither a backbone nor a detector"):
        start_from(artifact("maps"))
    with pytest.raises(UserError, match="is not a finished artifact"):
        start_from("nowhere")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"starts": []}, "--starts"),
        ({"starts": ["ImageNet"]}, "NAME=START"),
        ({"starts": ["a=scratch", "a=timm:x"]}, "no name or start twice"),
        ({"starts": ["a=scratch", "b=scratch"]}, "no name or start twice"),
        ({"reference": "COCO"}, "--starts names scratch, ImageNet"),
        ({"labelled": [50, 50]}, "--labelled"),
        ({"labelled": [1]}, "less than --training.batch_size 2"),
        ({"seeds": []}, "--seeds"),
        ({"steps": 0}, "--steps"),
        ({"training": replace(TRAINING, labelled=5)}, "--training.labelled: an experiment has"),
        ({"execution": TaskExecutionConfig(workers=2)}, "--execution.executor ray"),
    ],
)
def test_what_makes_no_experiment_is_refused(made, changes, said):
    with pytest.raises(UserError, match=said):
        experiment(replace(made[0], **changes))


def test_a_table_of_something_else_is_refused(made):
    run = next(iter(trainings(made[0]).values()))
    for experiments in ([run.path], [made[1].artifact.path, run.path]):
        with pytest.raises(UserError, match="--experiments: holds"):
            table(TableConfig(experiments=experiments))
