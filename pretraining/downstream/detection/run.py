"""One finetuning: draw, train, choose on validation, predict, save."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from millsight.platform import artifacts, storage
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.errors import UserError
from millsight.platform.executors.training import Training
from millsight.platform.fingerprints import Input
from millsight.platform.progress import progress_bar
from millsight.platform.runs import QUARANTINE_FILE
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware, Log, MetricLog, train
from millsight.pretraining.detector.card import Provenance
from millsight.pretraining.detector.commands import DETECTOR
from millsight.pretraining.detector.module import DetectorModule
from millsight.pretraining.detector.release import release
from millsight.pretraining.detector.run import examples, options
from millsight.pretraining.detector.selection import Selection
from millsight.pretraining.downstream.detection.commands import FinetuneDetectionConfig
from millsight.pretraining.downstream.detection.extra import (
    MixedDetectionData,
    read_extra,
    tell_classes,
)
from millsight.pretraining.downstream.detection.labelled import LabelledData, choose
from millsight.pretraining.downstream.detection.outputs import write_predictions
from millsight.pretraining.downstream.detection.start import Start
from millsight.pretraining.downstream.extra import as_inputs
from millsight.pretraining.selection import log_nothing, with_average


@dataclass(frozen=True)
class Sources:
    """What a detector is finetuned from.

    Attributes:
        catalog: Labelled pictures.
        start: Weights.
        extra: Synthetic pictures.
    """

    catalog: Catalog
    start: Start
    extra: Sequence[Catalog]

    def inputs(self) -> dict[str, Input]:
        """Name them as an artifact's inputs."""
        return {"data": self.catalog.as_input()} | self.start.inputs() | as_inputs(self.extra)


def make(
    config: FinetuneDetectionConfig, sources: Sources, draft: Draft, tracker: Tracker
) -> dict[str, Any]:
    """Finetune and predict; return the artifact's metrics.

    Raises:
        UserError: If too little is labelled, or the loss is not finite.
    """
    torch.set_num_threads(config.threads)
    settings = config.training
    with progress_bar("reading pictures") as progress:
        data = choose(sources.catalog, config, progress)
    extra = read_extra(sources.extra, data.classes)
    tell_classes(data.learned, extra, data.classes)
    if len(data.learned) < settings.batch_size:
        raise UserError(
            f"--training.batch_size {settings.batch_size}: there are {len(data.learned)} labelled "
            "pictures; lower it, or label more."
        )
    detector, account = sources.start.build(settings, len(data.classes))
    print(f"Start {settings.weights or settings.backbone}: {account}")
    detector.freeze_backbone(False)
    selection = _selection(config, data, draft, tracker.log)
    training = Training(
        DetectorModule(detector, settings),
        MixedDetectionData(
            data.learned,
            extra,
            data.validated,
            settings,
            config.loaders,
            share=config.extra_share,
        ),
        (MetricLog(tracker.log), *with_average(selection, settings.ema)),
        {**options(settings), "check_val_every_n_epoch": settings.validate_every},
    )
    away = with_average(_selection(config, data, draft, log_nothing), settings.ema)
    hardware = Hardware(config.accelerator)
    train(training, config.execution, draft, tracker.log, hardware, away=away)
    selection.restore(detector)
    device = "cuda" if config.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    with progress_bar("predicting") as progress:
        unread = write_predictions(
            draft,
            detector,
            data.predicted,
            data.classes,
            batch_size=settings.batch_size,
            device=device,
            progress=progress,
        )
    quarantined = [*data.quarantined, *unread]
    text = json.dumps(quarantined, indent=2) + "\n"
    storage.write_bytes(draft.file(QUARANTINE_FILE), text.encode())
    metrics = {
        "seed": settings.seed,
        "pictures_learned": len(data.learned),
        "synthetic_learned": len(extra),
        "boxes_learned": sum(len(picture.boxes) for picture in data.learned),
        "pictures_validated": len(data.validated),
        "pictures_predicted": len(data.predicted) - len(unread),
        "quarantined": len(quarantined),
        "classes": len(data.classes),
        "best_epoch": selection.best_epoch + 1,
        "val_map_50_95": selection.best,
    }
    return metrics | release(
        detector.cpu(),
        draft.file(DETECTOR),
        data.classes,
        provenance=Provenance(sources.start.backbone, sources.inputs(), settings),
        metrics=metrics,
        examples=examples(data.validated, config.formats),
    )


def _selection(
    config: FinetuneDetectionConfig, data: LabelledData, draft: Draft, log: Log
) -> Selection:
    patience = config.training.patience
    best = storage.absolute(draft.file(artifacts.BEST))
    return Selection(data.validated, data.classes, best, patience, log)
