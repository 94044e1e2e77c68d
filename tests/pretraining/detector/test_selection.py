"""The best weights are kept, also of an average, also by a run that was stopped or killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_boxes import boxed
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks.weight_averaging import EMAWeightAveraging
from safetensors.torch import load_file
from torch import Tensor, nn

from millsight.platform.executors.training import Training
from millsight.platform.training import Hardware, fit
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.interface import DetectionBatch, Detections, Detector
from millsight.pretraining.detector.module import DetectorModule
from millsight.pretraining.detector.pictures import BoxedPicture, DetectionData
from millsight.pretraining.detector.selection import Selection, judge

CPU = Hardware("cpu", progress_bar=False)
GOAL, DECAY = 60.0, 0.7
EDGE = "line.weight"


class Ruler(Detector):
    """Finds one box, whose right edge is its only weight; training pulls it to 60 pixels."""

    def __init__(self) -> None:
        super().__init__(1)
        self.line = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.line.weight, 8.0)

    @property
    def backbone(self) -> nn.Module:
        return nn.Identity()

    @property
    def edge(self) -> float:
        return self.line.weight.item()

    def losses(self, batch: DetectionBatch) -> dict[str, Tensor]:
        return {"pull": (self.line(torch.ones(1)) - GOAL).square().sum()}

    def reset_classes(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def _detect(self, pictures: Sequence[Tensor]) -> list[Detections]:
        box = torch.tensor([[0.0, 0.0, self.edge, 20.0]])
        return [Detections(box, torch.zeros(1).long(), torch.ones(1)) for _ in pictures]


class Diary(Callback):
    """Keeps the edge after every step; Ctrl-C comes in one epoch."""

    def __init__(self, interrupt: int | None = None) -> None:
        self.edges: list[float] = []
        self.interrupt = interrupt

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
        if trainer.current_epoch == self.interrupt:
            raise KeyboardInterrupt
        self.edges.append(pl_module.detector.edge)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[BoxedPicture]:
    """The true right edge is 30 pixels: training passes it by on its way to 60."""
    folder = tmp_path_factory.mktemp("drawn")
    drawn = [boxed(folder / f"{i}.png", i, 0) for i in range(4)]
    for item in drawn:
        item.boxes[:] = [0, 0, 30, 20]
    return drawn


class Run:
    """One training of a ruler, in its own folder."""

    def __init__(self, pictures: list[BoxedPicture], folder: Path, *, ema: float = 0.0) -> None:
        self.pictures, self.folder, self.ema = pictures, folder, ema
        folder.mkdir(exist_ok=True)
        self.best = folder / "best.safetensors"

    def __call__(self, *, patience: int = 0, interrupt: int | None = None) -> None:
        config = DetectorTrainingConfig(
            optimizer="sgd", learning_rate=0.01, weight_decay=0, batch_size=2, epochs=12
        )
        self.detector, self.diary, self.logged = Ruler(), Diary(interrupt), []
        self.selection = Selection(
            self.pictures,
            ["dent"],
            str(self.best),
            patience,
            lambda values, step: self.logged.append(values),
        )
        average = (EMAWeightAveraging(decay=self.ema),) if self.ema else ()
        data = DetectionData(self.pictures, self.pictures, config, 0)
        training = Training(
            DetectorModule(self.detector, config),
            data,
            (self.diary, self.selection, *average),
            {"max_epochs": config.epochs},
        )
        fit(training, str(self.folder / "checkpoint.pt"), CPU)

    def kept(self) -> float:
        return load_file(self.best)[EDGE].item()


@pytest.fixture(scope="module")
def whole(pictures: list[BoxedPicture], tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(pictures, tmp_path_factory.mktemp("whole"))
    run()
    return run


@pytest.fixture(scope="module")
def averaged(pictures: list[BoxedPicture], tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(pictures, tmp_path_factory.mktemp("averaged"), ema=DECAY)
    run()
    return run


def quality(edge: float, pictures: list[BoxedPicture]) -> float:
    box = torch.tensor([[0.0, 0.0, edge, 20.0]])
    found = [Detections(box, torch.zeros(1).long(), torch.ones(1)) for _ in pictures]
    return judge(pictures, found, ["dent"])["map_50_95"]


def test_the_best_weights_are_kept_and_come_back(whole: Run, pictures: list[BoxedPicture]) -> None:
    after = whole.diary.edges[1::2]
    qualities = [quality(edge, pictures) for edge in after]
    best = qualities.index(max(qualities))
    assert 0 < best < 11
    assert whole.kept() == pytest.approx(after[best])
    assert (whole.selection.best_epoch, whole.selection.best) == (best, max(qualities))
    assert [row["val/map_50_95"] for row in whole.logged] == qualities
    assert whole.detector.edge == after[-1]
    whole.selection.restore(whole.detector)
    assert whole.detector.edge == pytest.approx(after[best])


def test_training_ends_when_nothing_better_comes_and_stays_ended(
    whole: Run, pictures: list[BoxedPicture], tmp_path: Path
) -> None:
    run = Run(pictures, tmp_path)
    run(patience=3)
    best = whole.selection.best_epoch
    assert len(run.diary.edges) == 2 * (best + 4)
    assert run.kept() == whole.kept()
    again = Run(pictures, tmp_path)
    again(patience=3)
    assert again.diary.edges == []
    assert (again.selection.best_epoch, again.selection.waited) == (best, 3)


def test_the_averages_weights_are_judged_and_kept(
    averaged: Run, pictures: list[BoxedPicture]
) -> None:
    averages, edges = [averaged.diary.edges[0]], averaged.diary.edges
    for edge in edges[1:]:
        averages.append(DECAY * averages[-1] + (1 - DECAY) * edge)
    qualities = [quality(average, pictures) for average in averages[1::2]]
    best = qualities.index(max(qualities))
    assert [row["val/map_50_95"] for row in averaged.logged] == qualities
    assert averaged.kept() == pytest.approx(averages[1::2][best])
    assert averaged.kept() != pytest.approx(edges[1::2][best], rel=0.01)


@pytest.mark.parametrize("interrupt", [1, 5, 9])
def test_an_interrupted_run_ends_as_the_uninterrupted(
    averaged: Run, pictures: list[BoxedPicture], tmp_path: Path, interrupt: int
) -> None:
    run = Run(pictures, tmp_path, ema=DECAY)
    with pytest.raises(KeyboardInterrupt):
        run(interrupt=interrupt)
    run()
    assert len(run.diary.edges) == 2 * (12 - interrupt)
    assert run.diary.edges == averaged.diary.edges[2 * interrupt :]
    assert run.kept() == averaged.kept()
    assert run.selection.state_dict() == averaged.selection.state_dict()
    assert run.detector.edge == averaged.detector.edge


def test_without_a_true_box_the_first_weights_are_kept(
    pictures: list[BoxedPicture], tmp_path: Path
) -> None:
    good = [boxed(tmp_path / "good.png", 5, None)]
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(0))
    assert judge(good, [nothing], ["dent"])["map_50"] != judge(good, [nothing], ["dent"])["map_50"]
    run = Run([boxed(tmp_path / f"{i}.png", i, None) for i in range(4)], tmp_path / "run")
    run()
    assert (run.selection.best_epoch, run.selection.best) == (0, 0.0)
