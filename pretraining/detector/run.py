"""One run from boxes that nobody drew to a pretrained detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from millsight.platform.artifacts import Artifact, Draft
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.errors import UserError
from millsight.platform.executors.training import Training
from millsight.platform.fingerprints import Input
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware, MetricLog, train, trainer_options
from millsight.platform.weights.carry_over import ACCOUNT_FILE
from millsight.pretraining.detector.box_quality import check_boxes
from millsight.pretraining.detector.card import Provenance
from millsight.pretraining.detector.commands import DETECTOR, PretrainDetectorConfig
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.exact_boxes import read_exact
from millsight.pretraining.detector.module import DetectorModule
from millsight.pretraining.detector.pictures import BoxedPicture, BoxedPictures, DetectionData
from millsight.pretraining.detector.pseudo_labels import read_boxes
from millsight.pretraining.detector.release import release
from millsight.pretraining.detector.start import Start

CLASSES = ("anomaly",)
COMPARED = 4


@dataclass(frozen=True)
class Sources:
    """What a detector is pretrained on.

    Attributes:
        pseudo: Artifacts of ``millsight boxes``.
        exact: Sets with exact boxes.
        start: Weights.
    """

    pseudo: Sequence[Artifact]
    exact: Sequence[Catalog]
    start: Start

    def __post_init__(self) -> None:
        """Refuse nothing to learn from."""
        if not self.pseudo and not self.exact:
            raise UserError("--boxes: name at least one artifact of `millsight boxes`, or --exact.")

    def inputs(self) -> dict[str, Input]:
        """Name them as an artifact's inputs."""
        named = {f"boxes_{at}": source.as_input() for at, source in enumerate(self.pseudo)}
        named |= {f"exact_{at}": source.as_input() for at, source in enumerate(self.exact)}
        return named | self.start.inputs()

    def pictures(self) -> list[BoxedPicture]:
        """Read them.

        Raises:
            UserError: If a file of boxes or a mask is wrong.
        """
        pseudo = [picture for source in self.pseudo for picture in read_boxes(source)]
        return pseudo + [picture for source in self.exact for picture in read_exact(source)]


def make(
    config: PretrainDetectorConfig, sources: Sources, draft: Draft, tracker: Tracker
) -> dict[str, Any]:
    """Train and export; return the artifact's metrics.

    Raises:
        UserError: If there are too few pictures, a box file is wrong, or the loss is not finite.
    """
    torch.set_num_threads(config.threads)
    settings = config.training
    pictures = sources.pictures()
    if len(pictures) < settings.batch_size:
        raise UserError(
            f"--training.batch_size {settings.batch_size}: there are {len(pictures)} pictures."
        )
    # What cannot be built leaves nothing behind.
    detector, account = sources.start.build(settings, CLASSES)
    check_boxes(sources.pseudo, draft, tracker, refuse=config.gate)
    account.tell(f"Start {config.weights or settings.backbone}", draft.file(ACCOUNT_FILE))
    detector.freeze_backbone(config.freeze_backbone)
    training = Training(
        DetectorModule(detector, settings),
        DetectionData(pictures, (), settings, config.loaders),
        (MetricLog(tracker.log),),
        options(settings),
    )
    train(training, config.execution, draft, tracker.log, Hardware(config.accelerator))
    metrics = {
        "pictures": len(pictures),
        "pictures_without_box": sum(not len(picture.boxes) for picture in pictures),
        "boxes": sum(len(picture.boxes) for picture in pictures),
        "parameters": sum(p.numel() for p in detector.parameters()),
        "parameters_learned": sum(p.numel() for p in detector.parameters() if p.requires_grad),
    }
    return metrics | release(
        detector.cpu(),
        draft.file(DETECTOR),
        CLASSES,
        provenance=Provenance(sources.start.backbone, sources.inputs(), settings),
        metrics=metrics,
        examples=examples(pictures, config.formats),
    )


def examples(pictures: Sequence[BoxedPicture], formats: Sequence[str]) -> list[Tensor]:
    """Return the pictures on which an exported file is compared; none if there is none."""
    data = BoxedPictures(pictures[:COMPARED])
    return [data[at][0] for at in range(len(data.pictures))] if formats else []


def options(config: DetectorTrainingConfig) -> dict[str, Any]:
    """Return what Lightning's trainer is told of a configuration."""
    return trainer_options(
        epochs=config.epochs,
        clip_norm=config.gradient_norm,
        accumulate=config.accumulate,
        precision=config.precision,
    )
