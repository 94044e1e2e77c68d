"""``millsight finetune detection`` from pictures to a table, on tiny ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from bright_boxes import coco_set, pseudo_boxes
from safetensors.torch import load_file

from millsight.platform import cli
from millsight.platform.artifacts import Artifact, open_artifact
from millsight.platform.catalog.catalog import load_data
from millsight.platform.catalog.synthetic import COMPOSED, mark_png
from millsight.platform.errors import UserError
from millsight.pretraining.detector.export import load_detector, read_class_names
from millsight.pretraining.detector.start import load_start
from millsight.pretraining.downstream.detection.config import FinetuningConfig

TINY = [
    *("--training.backbone", "random:timm:test_efficientnet?seed=0", "--training.image_size", "64"),
    *("--training.width", "16", "--training.proposals", "40", "--training.frozen_stages", "0"),
    *("--training.batch_size", "4", "--training.epochs", "2", "--threads", "1"),
    *("--accelerator", "cpu", "--tracking.wandb", "disabled"),
]
FINETUNE = [*TINY, "--training.learning_rate", "3e-3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detection")


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    return coco_set(folder / "data", {"train": 16, "val": 6, "test": 8})


def finetune(data: Path, output: Path, *words: str) -> int:
    where = ["--output", str(output), "--workspace", str(output.parent / "runs")]
    tracking = ["--tracking.directory", str(output.parent / "tracking")]
    return cli.main(
        ["finetune", "detection", "--data", str(data), *FINETUNE, *where, *tracking, *words]
    )


def runs_of(output: Path) -> list[Artifact]:
    places = json.loads((output / "runs.json").read_text())
    return [open_artifact(place, kind="detection") for place in places.values()]


def account(run: Artifact) -> list[str]:
    return Path(run.file("carry_over.txt")).read_text().splitlines()


@pytest.fixture(scope="module")
def finetuned(data: Path, folder: Path) -> Path:
    """Predicts what the weights are chosen by, where so short a training is sure to find some."""
    output = folder / "seeds"
    words = ["--split", "val", "--training.epochs", "8", "--training.ema", "0.5"]
    rates = ["--training.learning_rate", "1e-2", "--training.backbone_rate", "1"]
    assert finetune(data, output, "--seeds", "[0,1]", *words, *rates) == 0
    return output


def test_two_seeds_give_two_detectors_and_one_table(finetuned: Path) -> None:
    first, second = runs_of(finetuned)
    metrics = open_artifact(finetuned, kind="detection_seeds").manifest["metrics"]
    assert metrics["seeds"] == [0, 1]
    assert 0 < metrics["map_50"]["value"] <= 1
    assert metrics["map_50"]["spread"] is not None
    assert first.manifest["metrics"] | {"seed": 1} != second.manifest["metrics"]
    for run in (first, second):
        assert run.manifest["metrics"]["pictures_learned"] == 12
        assert run.manifest["metrics"]["boxes_learned"] == 12
        assert run.manifest["metrics"]["pictures_predicted"] == 6
        assert read_class_names(run.file("detector")) == ["dent", "pit"]
        left = {path.name for path in Path(run.path).iterdir()}
        assert left == {
            "artifact.json",
            "carry_over.txt",
            "detector",
            "predictions.json",
            "quarantine.json",
            "results.parquet",
        }
    tensors = [load_file(f"{run.path}/detector/model.safetensors") for run in (first, second)]
    assert any(not torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())


def test_evaluate_reads_the_predictions_as_they_are(
    finetuned: Path, data: Path, tmp_path: Path
) -> None:
    words = ["--data", str(data), "--split", "val", "--resamples", "50", "--score_threshold", "0.5"]
    values = []
    for at, run in enumerate(runs_of(finetuned)):
        output = tmp_path / f"evaluation_{at}"
        found = ["--detections", run.file("predictions.json"), "--output", str(output)]
        tracking = ["--tracking.wandb", "disabled", "--tracking.directory", str(tmp_path / "t")]
        assert cli.main(["evaluate", *words, *found, *tracking]) == 0
        values.append(_detection_metrics(output))
    metrics = open_artifact(finetuned).manifest["metrics"]
    for name in ("map_50", "map_50_95"):
        assert metrics[name]["seeds"] == pytest.approx([value[name] for value in values])


def test_a_pretrained_detector_is_started_from(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = pseudo_boxes(tmp_path)
    words = ["--boxes", boxes.path, *TINY, "--training.frozen_stages", "2"]
    where = ["--output", str(tmp_path / "pretrained"), "--tracking.directory", str(tmp_path / "t")]
    assert cli.main(["pretrain", "detector", *words, *where]) == 0
    pretrained = open_artifact(tmp_path / "pretrained", kind="detector")
    metrics = pretrained.manifest["metrics"]
    assert (metrics["pictures"], metrics["pictures_without_box"], metrics["boxes"]) == (8, 2, 6)
    assert metrics["parameters_learned"] < metrics["parameters"]
    before = load_detector(pretrained.file("detector"))
    assert before.n_classes == 1
    told = Counter(line.partition(" ")[0] for line in account(pretrained))
    assert told["loaded"] == len(before.backbone_state())
    assert told["loaded"] + told["new"] == len(before.state_dict())
    assert cli.main(["pretrain", "detector", *words, *where]) == 0
    assert "Pretrained already" in capsys.readouterr().out

    output = tmp_path / "out"
    start = ["--weights", pretrained.path, "--training.learning_rate", "1e-9"]
    assert finetune(data, output, *start, "--training.epochs", "1") == 0
    said = capsys.readouterr().out
    assert "pretrained knows 1, the pictures here have 2; the layers" in said
    (run,) = runs_of(output)
    assert run.manifest["inputs"]["detector"]["fingerprint"] == pretrained.fingerprint
    after = load_detector(run.file("detector"))
    assert after.n_classes == 2
    old, new = before.state_dict(), after.state_dict()
    moved = {
        k for k in old if old[k].shape == new[k].shape and (old[k] - new[k]).abs().max() > 1e-4
    }
    # Norms that learn count what they saw; nothing else was touched at this rate.
    assert all("running" in name or "num_batches" in name for name in moved)
    changed = {name for name in old if old[name].shape != new[name].shape}
    assert changed
    assert all("box_predictor" in name for name in changed)
    kept = {name for name in old if "box_predictor" not in name}
    assert {f"loaded {name}" for name in kept} <= set(account(run))
    assert {f"{word} {name}" for name in changed for word in ("skipped", "new")} <= set(
        account(run)
    )
    again = tmp_path / "again"
    assert finetune(data, again, *start, "--training.epochs", "1", "--fresh", "true") == 0
    (same,) = runs_of(again)
    assert same.path == run.path
    assert _equal(load_detector(same.file("detector")).state_dict(), new)


def test_a_finetuned_detector_may_be_started_from(
    finetuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs_of(finetuned)[0]
    start, config = load_start(run.path, FinetuningConfig()), FinetuningConfig()
    detector, told = start.build(config, "abcde")
    assert "knows 2, the pictures here have 5;" in capsys.readouterr().out
    assert detector.n_classes == 5
    learned, state = load_detector(run.file("detector")).state_dict(), detector.state_dict()
    assert all(torch.equal(state[name], learned[name]) for name in told.loaded)
    assert told.skipped == told.new
    assert all("box_predictor" in name for name in told.new)
    _, told = start.build(config, "ab")
    assert "knows 2, the pictures here have 2 others;" in capsys.readouterr().out
    assert told.new
    detector, told = start.build(config, read_class_names(run.file("detector")))
    assert capsys.readouterr().out == ""
    assert not told.new
    assert _equal(detector.state_dict(), learned)
    with pytest.raises(UserError, match="holds 'detection_seeds'; name an artifact of"):
        load_start(str(finetuned), config)


def test_pretraining_goes_on_from_a_detector(finetuned: Path, tmp_path: Path) -> None:
    run = runs_of(finetuned)[0]
    boxes = pseudo_boxes(tmp_path)

    def pretrain(start: str, name: str, *words: str) -> Artifact:
        output = tmp_path / name
        where = ["--output", str(output), "--tracking.directory", str(tmp_path / "t")]
        settings = ["--training.batch_size", "4", "--training.epochs", "1", "--threads", "1"]
        learned = ["pretrain", "detector", "--boxes", boxes.path, "--weights", start, *settings]
        assert cli.main([*learned, *where, *words]) == 0
        return open_artifact(output, kind="detector")

    first = pretrain(run.path, "first")
    assert first.manifest["inputs"]["detector"]["fingerprint"] == run.fingerprint
    assert read_class_names(first.file("detector")) == ["anomaly"]
    second = pretrain(first.path, "second", "--training.learning_rate", "1e-9")
    assert {line.partition(" ")[0] for line in account(second)} == {"loaded"}
    before, after = (load_detector(one.file("detector")).state_dict() for one in (first, second))
    # Frozen, also its norms; the rest hardly moved at this rate, the head of the classes included.
    assert all((before[name] - after[name]).abs().max() < 1e-4 for name in before)


def test_pictures_that_cannot_be_read_are_set_aside_and_unknown_classes_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coco_set(tmp_path / "data", {"train": 10, "val": 4})
    coco_set(data, {"test": 12}, classes=3)
    for name in ("train/train_0.png", "test/test_3.png"):
        (data / name).write_bytes((data / name).read_bytes()[:400])
    output = tmp_path / "out"
    assert finetune(data, output) == 3
    (run,) = runs_of(output)
    assert f"2 pictures were set aside: {run.file('quarantine.json')}" in capsys.readouterr().out
    metrics = run.manifest["metrics"]
    assert (metrics["quarantined"], metrics["pictures_learned"], metrics["classes"]) == (2, 7, 2)
    assert metrics["pictures_predicted"] == 11
    uris = {item["uri"] for item in json.loads(Path(run.file("quarantine.json")).read_text())}
    assert {Path(uri).name for uri in uris} == {"train_0.png", "test_3.png"}
    # The third class is nobody's to learn: its share of the mean is lost, and it is counted.
    assert open_artifact(output).manifest["metrics"]["map_50"]["value"] <= 2 / 3
    assert finetune(data, output) == 3


def test_pictures_that_break_after_the_catalog_was_made_are_set_aside(tmp_path: Path) -> None:
    folder = coco_set(tmp_path / "data", {"train": 10, "val": 4, "test": 4})
    load_data(str(folder)).write(tmp_path / "catalog.parquet")
    (folder / "train" / "train_1.png").write_bytes(b"not a picture")
    (folder / "test" / "test_1.png").unlink()
    output = tmp_path / "out"
    words = ["--training.labelled", "6", "--training.validated", "2"]
    assert finetune(tmp_path / "catalog.parquet", output, *words) == 3
    (run,) = runs_of(output)
    reasons = [item["reason"] for item in json.loads(Path(run.file("quarantine.json")).read_text())]
    assert "no such file" in reasons
    assert run.manifest["metrics"]["pictures_validated"] == 2
    assert run.manifest["metrics"]["pictures_learned"] in (5, 6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--training.labelled", "99"], "--training.labelled 99: there are 12 labelled pictures"),
        (["--training.labelled", "3"], "--training.batch_size 4: there are 3 labelled pictures"),
        (["--seeds", "[1,1]"], "each once"),
        (["--training.family", "d_fine"], "--training.image_size 64: at least 128 for d_fine"),
        (["--training.validate_every", "3"], "nothing would ever be validated"),
        (["--weights", "nowhere"], "nowhere is not a finished artifact"),
        (["--resume", "true"], "--resume: "),
        (["--resume", "true", "--fresh", "true"], "name one of them"),
        (["--training.learning_rate", "1e30"], "--training.learning_rate"),
    ],
)
def test_what_cannot_be_done_is_refused(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    message: str,
) -> None:
    output = tmp_path / "out"
    assert finetune(data, output, *words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not output.exists()
    assert not list(tmp_path.glob("runs/*/artifact.json"))


def test_pictures_without_boxes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coco_set(tmp_path / "data", {"train": 8, "test": 4})
    path = data / "train" / "instances_train.json"
    content = json.loads(path.read_text()) | {"annotations": []}
    path.write_text(json.dumps(content))
    assert finetune(data, tmp_path / "out") == 2
    assert "no picture of split 'train' has a box" in capsys.readouterr().err


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def _detection_metrics(output: Path) -> dict[str, float]:
    metrics: dict[str, float] = open_artifact(output).manifest["metrics"]
    return metrics


def test_synthetic_pictures_are_learnt_beside_the_labelled_ones(data: Path, folder: Path) -> None:
    synthetic = coco_set(folder / "synthetic", {"train": 8})
    for picture in synthetic.rglob("*.png"):
        picture.write_bytes(mark_png(picture.read_bytes(), COMPOSED))
    output = folder / "with-extra"
    words = ["--extra", str(synthetic), "--training.labelled", "8", "--training.epochs", "1"]
    assert finetune(data, output, *words) == 0
    (run,) = runs_of(output)
    metrics = run.manifest["metrics"]
    assert (metrics["pictures_learned"], metrics["synthetic_learned"]) == (8, 8)
    assert "extra_0" in run.manifest["inputs"]
