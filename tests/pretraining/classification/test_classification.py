"""``millsight finetune classification`` from pictures to a table, on tiny ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch

from millsight.evaluation.results import table as tables
from millsight.platform import cli
from millsight.platform.artifacts import Artifact, open_artifact
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.pictures import open_picture
from millsight.platform.catalog.sample import Sample
from millsight.platform.catalog.synthetic import COMPOSED
from millsight.pretraining.downstream.classification.data import squash
from millsight.pretraining.downstream.classification.model import load_classifier

SIDE = 40
CLASSES = ("dent", "good", "pit")
TINY = [
    *("--training.backbone", "random:timm:test_efficientnet?seed=0", "--training.image_size", "32"),
    *("--training.batch_size", "6", "--training.epochs", "8", "--training.ema", "0.5"),
    *("--training.learning_rate", "2e-2", "--training.backbone_rate", "1", "--threads", "1"),
    *("--accelerator", "cpu", "--tracking.wandb", "disabled"),
]


def draw(folder: Path, name: str, label: str, split: str) -> Sample:
    """Grey noise; a dent is red, a pit is green."""
    random = np.random.default_rng(len(name) + sum(map(ord, name)))
    picture = random.integers(60, 120, (SIDE, SIDE, 3), dtype=np.uint8)
    if label != "good":
        picture[8:32, 8:32, 2 if label == "dent" else 1] += np.uint8(120)
    uri = folder / f"{name}.png"
    cv2.imwrite(str(uri), picture)
    return Sample(name, str(uri), "plates", split, None, label, width=SIDE, height=SIDE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classification")


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    samples = [
        draw(folder, f"{split}_{label}_{number}", label, split)
        for split, count in (("train", 5), ("val", 3), ("test", 4))
        for label in CLASSES
        for number in range(count)
    ]
    Catalog(tuple(samples)).write(folder / "data.parquet")
    return folder / "data.parquet"


def finetune(data: Path, output: Path, *words: str) -> int:
    where = ["--output", str(output), "--workspace", str(output.parent / "runs")]
    tracking = ["--tracking.directory", str(output.parent / "tracking")]
    command = ["finetune", "classification", "--data", str(data), *TINY, *where, *tracking]
    return cli.main([*command, *words])


def runs_of(output: Path) -> list[Artifact]:
    places = json.loads((output / "runs.json").read_text())
    return [open_artifact(place, kind="classification") for place in places.values()]


@pytest.fixture(scope="module")
def finetuned(data: Path, folder: Path) -> Path:
    output = folder / "seeds"
    assert finetune(data, output, "--seeds", "[0,1]", "--formats", "onnx") == 0
    return output


def test_two_seeds_learn_the_colours_and_give_one_table(finetuned: Path) -> None:
    metrics = open_artifact(finetuned, kind="classification_seeds").manifest["metrics"]
    assert metrics["seeds"] == [0, 1]
    assert metrics["macro_f1"]["value"] > 0.8
    assert metrics["accuracy"]["n"] == 12
    for run in runs_of(finetuned):
        found = run.manifest["metrics"]
        assert (found["pictures_learned"], found["pictures_validated"], found["classes"]) == (
            *(15, 9),
            3,
        )
        assert found["onnx_difference"] < 1e-4
        left = {path.name for path in Path(run.path).iterdir()}
        assert left == {
            *("artifact.json", "classifier", "predictions.csv", "quarantine.json"),
            "results.parquet",
        }
        assert "Tells apart" in Path(run.file("classifier/README.md")).read_text()


def test_what_is_taken_home_predicts_what_the_table_says(finetuned: Path, data: Path) -> None:
    run = runs_of(finetuned)[0]
    rows = list(tables.from_table(tables.read_table(run.file("results.parquet"))))
    classifier = load_classifier(run.file("classifier"))
    assert classifier.classes == CLASSES
    plain = timm.create_model(
        "test_efficientnet",
        num_classes=3,
        checkpoint_path=run.file("classifier/model.safetensors"),
    ).eval()
    samples = [sample for sample in load_data(str(data)) if sample.split == "test"]
    pictures = torch.stack([squash(open_picture(sample.uri), 32) for sample in samples])
    with torch.inference_mode():
        scores = classifier(pictures).softmax(1)
        bare = plain((pictures - classifier.mean) / classifier.std).softmax(1)
    assert torch.allclose(scores, bare)
    for row, values in zip(rows, scores.tolist(), strict=True):
        assert list(row.class_scores.values()) == pytest.approx(values, abs=1e-5)
        assert row.predicted_label == CLASSES[int(np.argmax(values))]
        assert row.score == pytest.approx(1 - values[1], abs=1e-5)
    assert finetune(data, finetuned.parent / "again", *_start(run), "--training.epochs", "1") == 0


def _start(run: Artifact) -> list[str]:
    return ["--training.backbone", f"path:{run.file('classifier/backbone')}"]


def test_evaluate_reads_the_predictions_as_they_are(
    finetuned: Path, data: Path, tmp_path: Path
) -> None:
    run = runs_of(finetuned)[0]
    words = ["--data", str(data), "--split", "test", "--scores", run.file("predictions.csv")]
    where = ["--output", str(tmp_path / "e"), "--tracking.directory", str(tmp_path / "t")]
    assert cli.main(["evaluate", *words, *where, "--tracking.wandb", "disabled"]) == 0
    metrics = open_artifact(tmp_path / "e").manifest["metrics"]
    wanted = open_artifact(finetuned).manifest["metrics"]["accuracy"]["seeds"][0]
    assert metrics["accuracy"] == pytest.approx(wanted)


def test_a_killed_training_goes_on_to_the_same_weights(
    finetuned: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millsight.pretraining.downstream.classification import module

    class Killed(module.ClassificationModule):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 3:
                raise RuntimeError("killed")

    words = ["--formats", "onnx"]
    target = "millsight.pretraining.downstream.classification.run.ClassificationModule"
    with monkeypatch.context() as patched:
        patched.setattr(target, Killed)
        with pytest.raises(RuntimeError, match="killed"):
            finetune(data, tmp_path / "out", *words)
    assert finetune(data, tmp_path / "out", *words) == 0
    (resumed,), whole = runs_of(tmp_path / "out"), runs_of(finetuned)[0]
    weights = [Path(run.file("classifier/model.safetensors")) for run in (resumed, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_synthetic_pictures_and_those_that_break(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [replace(draw(tmp_path, f"m{i}", "pit", "train"), synthetic=COMPOSED) for i in range(4)]
    Catalog(tuple(made)).write(tmp_path / "made.parquet")
    (tmp_path / "none" / "masks").mkdir(parents=True)
    torn = [replace(sample) for sample in load_data(str(data))]
    torn[0] = replace(torn[0], uri=str(tmp_path / "missing.png"))
    Catalog(tuple(torn)).write(tmp_path / "torn.parquet")
    extra = ["--extra", str(tmp_path / "made.parquet"), "--extra", str(tmp_path / "none")]
    output = tmp_path / "out"
    assert finetune(tmp_path / "torn.parquet", output, *extra, "--training.epochs", "1") == 3
    said = capsys.readouterr().out
    assert f"--extra {tmp_path / 'none'}: holds no picture" in said
    assert "pit 5 + 4" in said
    assert "Learnt from real pictures alone: dent, good" in said
    (run,) = runs_of(output)
    metrics = run.manifest["metrics"]
    assert (metrics["synthetic_learned"], metrics["quarantined"]) == (4, 1)
    assert run.config["extra_share"] == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--training.labelled", "4"], "--training.batch_size 6: there are 4 labelled pictures"),
        (["--training.image_size", "8"], "--training.image_size 8: at least 32"),
        (["--training.smoothing", "1"], "--training.smoothing: in [0, 1)"),
        (["--extra_share", "0"], "--extra_share 0.0: above 0"),
        (["--seeds", "[1,1]"], "each once"),
        (["--split", "other"], "no picture of"),
        (["--training.learning_rate", "1e30"], "the loss became"),
    ],
)
def test_what_cannot_be_done_is_refused(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    message: str,
) -> None:
    assert finetune(data, tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err


def test_a_synthetic_picture_that_broke_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [replace(draw(tmp_path, f"m{i}", "pit", "train"), synthetic=COMPOSED) for i in range(4)]
    Catalog(tuple(made)).write(tmp_path / "made.parquet")
    for sample in made:
        Path(sample.uri).write_bytes(b"torn")
    extra = ["--extra", str(tmp_path / "made.parquet"), "--extra_share", "1"]
    assert finetune(data, tmp_path / "out", *extra) == 2
    assert str(tmp_path / "m") in capsys.readouterr().err
