"""Schedules, parameter groups, precision and compilation of a detector's training."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_boxes import boxed
from lightning.pytorch.callbacks import Callback
from tiny_detectors import SIDE, Build, detr, make, needs_ultralytics, yolo

from millsight.platform.errors import UserError
from millsight.platform.executors.training import Training
from millsight.platform.training import Hardware, MetricLog, fit
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.faster_rcnn import FasterRCNNConfig, FasterRCNNDetector
from millsight.pretraining.detector.interface import DetectionBatch, Detector
from millsight.pretraining.detector.module import DetectorModule, rate
from millsight.pretraining.detector.pictures import BoxedPicture, BoxedPictures, DetectionData
from millsight.pretraining.detector.pictures import collate as together
from millsight.pretraining.detector.run import options
from millsight.pretraining.detector.selection import Selection
from millsight.pretraining.detector.stages import BackboneChoice

CPU = Hardware("cpu", progress_bar=False)


def faster_rcnn(choice: BackboneChoice, n_classes: int) -> Detector:
    small = {"width": 16, "head_width": 32, "proposals": 40, "sampled": 20}
    config = FasterRCNNConfig(SIDE, SIDE, **small)
    return FasterRCNNDetector(BackboneChoice("test_efficientnet"), n_classes, config)


FAMILIES = [
    pytest.param(faster_rcnn, id="faster_rcnn"),
    pytest.param(detr("rtdetr_v2"), id="rtdetr_v2"),
    pytest.param(yolo, id="yolo", marks=needs_ultralytics),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[BoxedPicture]:
    folder = tmp_path_factory.mktemp("drawn")
    return [boxed(folder / f"{i}.png", i, None if i == 3 else 0) for i in range(4)]


class Seen(Callback):
    """Keeps the learning rates and one weight before every batch."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.weights: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
        learned = [p for p in pl_module.detector.parameters() if p.requires_grad]
        self.weights.append(learned[-1].detach().clone())


def run(
    pictures: list[BoxedPicture], folder: Path, detector: Detector, **settings: Any
) -> tuple[Seen, list[dict[str, float]]]:
    """Train on the four pictures, and choose among the epochs by them."""
    config = DetectorTrainingConfig(**{"epochs": 2, "batch_size": 1, "scale": 0.0} | settings)
    config.check()
    seen, logged = Seen(), []
    selection = Selection(pictures, ["dent"], str(folder / "best"), 0, lambda *_: None)
    training = Training(
        DetectorModule(detector, config),
        DetectionData(pictures, pictures, config, 0),
        (seen, MetricLog(lambda values, step: logged.append(dict(values))), selection),
        options(config),
    )
    fit(training, str(folder / "checkpoint.pt"), CPU)
    assert selection.best >= 0
    return seen, logged


def test_the_cosine_rises_linearly_and_falls_to_nothing() -> None:
    config = DetectorTrainingConfig(warm_up=0.1)
    factors = [rate(step, 100, config) for step in range(101)]
    assert factors[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)
    assert all(b < a for a, b in itertools.pairwise(factors[10:]))


def test_the_step_schedule_falls_twice_to_a_tenth() -> None:
    config = DetectorTrainingConfig(warm_up=0.0, schedule="step")
    factors = [round(rate(step, 90, config), 6) for step in range(90)]
    assert factors == [1.0] * 60 + [0.1] * 20 + [0.01] * 10


def test_groups_share_out_rate_and_decay() -> None:
    detector = make(faster_rcnn)
    config = DetectorTrainingConfig(backbone_rate=0.25)
    groups = DetectorModule(detector, config)._groups(1e-3, 0.05)
    found = {(group["lr"], group["weight_decay"]): group["params"] for group in groups}
    assert found.keys() == {(2.5e-4, 0.05), (2.5e-4, 0.0), (1e-3, 0.05), (1e-3, 0.0)}
    inside = {id(p) for p in detector.backbone.parameters() if p.requires_grad}
    assert {id(p) for decay in (0.05, 0.0) for p in found[2.5e-4, decay]} == inside
    assert all(p.ndim > 1 for p in found[2.5e-4, 0.05])
    assert all(p.ndim == 1 for p in found[1e-3, 0.0])
    learned = [id(p) for p in detector.parameters() if p.requires_grad]
    assert sorted(learned) == sorted(id(p) for group in groups for p in group["params"])


def test_accumulated_steps_change_the_weights_once(
    pictures: list[BoxedPicture], tmp_path: Path
) -> None:
    seen, logged = run(
        pictures, tmp_path, make(faster_rcnn), accumulate=2, warm_up=0.5, learning_rate=1e-2
    )
    changed = [not torch.equal(a, b) for a, b in itertools.pairwise(seen.weights)]
    assert changed == [False, True, False, True, False, True, False]
    # Four steps in all: two of warm-up, then the cosine.
    peak = [max(rates) for rates in seen.rates]
    assert peak[::2] == pytest.approx([0.005, 0.01, 0.01, 0.005])
    assert peak[::2] == peak[1::2]
    assert {"train/loss", "train/loss_objectness", "learning_rate"} <= logged[0].keys()
    terms = sum(v for k, v in logged[0].items() if k.startswith("train/loss_"))
    assert logged[0]["train/loss"] == pytest.approx(terms, rel=1e-4)


class Stop(Callback):
    """Interrupts one epoch at its second batch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        if (trainer.current_epoch, index) == (self.epoch, 0):
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_interrupted_run_draws_the_same_proposals(
    epoch: int, pictures: list[BoxedPicture], tmp_path: Path
) -> None:
    config = DetectorTrainingConfig(epochs=3, batch_size=2, learning_rate=1e-2)
    states = []
    for name, stops in (("whole", [()]), ("stopped", [(Stop(epoch),), ()])):
        for callbacks in stops:
            module = DetectorModule(make(faster_rcnn), config)
            data = DetectionData(pictures, (), config, 0)
            training = Training(module, data, callbacks, options(config))
            with contextlib.suppress(KeyboardInterrupt):
                fit(training, str(tmp_path / name), CPU)
        states.append(module.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_loss_that_is_not_finite_is_one_message(
    pictures: list[BoxedPicture], tmp_path: Path
) -> None:
    detector = make(faster_rcnn)
    with torch.no_grad():
        detector.model.roi_heads.box_predictor.cls_score.bias[0] = math.nan
    with pytest.raises(UserError, match=r"became nan at step 0 \(.*loss_classifier nan") as caught:
        run(pictures, tmp_path, detector)
    assert "--training.learning_rate" in str(caught.value)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("loaders", [0, 1])
def test_a_picture_that_is_lost_meanwhile_is_one_message(loaders: int, tmp_path: Path) -> None:
    lost = boxed(tmp_path / "lost.png", 0, 0)
    (tmp_path / "lost.png").write_bytes(b"")
    config = DetectorTrainingConfig(epochs=1, batch_size=1)
    training = Training(
        DetectorModule(make(faster_rcnn), config),
        DetectionData([lost], (), config, loaders),
        (),
        options(config),
    )
    with pytest.raises(UserError, match=r"^/.*lost\.png: empty file \(0 bytes\)\. It was"):
        fit(training, str(tmp_path / "checkpoint.pt"), CPU)


@pytest.mark.parametrize("build", FAMILIES)
def test_bfloat16_trains_and_is_judged(
    build: Build, pictures: list[BoxedPicture], tmp_path: Path
) -> None:
    plain, rounded = make(build), make(build)
    _, wanted = run(pictures, tmp_path / "32", plain, epochs=1, accumulate=4)
    _, found = run(pictures, tmp_path / "16", rounded, epochs=1, accumulate=4, precision="bf16")
    assert found[0]["train/loss"] == pytest.approx(wanted[0]["train/loss"], rel=0.3)
    assert found[0]["train/loss"] != wanted[0]["train/loss"]
    assert {p.dtype for p in rounded.parameters()} == {torch.float32}


@pytest.mark.parametrize("build", FAMILIES)
def test_a_compiled_detector_is_the_same(
    build: Build, pictures: list[BoxedPicture], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The compiler of machine code is not what is tested, and takes a minute.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    plain, compiled = make(build), make(build)
    DetectorModule(compiled, DetectorTrainingConfig(compile=True)).on_fit_start()
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    batch: DetectionBatch = together([BoxedPictures(pictures)[i] for i in range(2)])
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for detector in (plain, compiled):
        torch.manual_seed(1)
        torch.stack(list(detector.losses(batch).values())).sum().backward()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > graphs
    gradients = dict(plain.named_parameters())
    for name, parameter in compiled.named_parameters():
        wanted = gradients[name].grad
        assert (parameter.grad is None) == (wanted is None)
        assert wanted is None or torch.allclose(parameter.grad, wanted, rtol=1e-3, atol=1e-4)
    torch._dynamo.reset()
