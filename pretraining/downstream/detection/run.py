"""One finetuning: draw, train, choose on validation, predict, save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from millsight.platform import artifacts, storage
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.fingerprints import Input
from millsight.platform.progress import progress_bar
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware
from millsight.platform.weights.carry_over import ACCOUNT_FILE
from millsight.pretraining.detector.card import Provenance
from millsight.pretraining.detector.commands import DETECTOR
from millsight.pretraining.detector.module import DetectorModule
from millsight.pretraining.detector.release import release
from millsight.pretraining.detector.run import examples, options
from millsight.pretraining.detector.selection import Selection
from millsight.pretraining.detector.start import Start
from millsight.pretraining.downstream.detection.commands import FinetuneDetectionConfig
from millsight.pretraining.downstream.detection.extra import (
    MixedDetectionData,
    read_extra,
    tell_classes,
)
from millsight.pretraining.downstream.detection.labelled import choose
from millsight.pretraining.downstream.detection.outputs import write_predictions
from millsight.pretraining.downstream.extra import as_inputs
from millsight.pretraining.downstream.finetuning import count_pictures, fit_best


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
    data.require(settings.batch_size)
    detector, account = sources.start.build(settings, data.classes)
    account.tell(f"Start {config.weights or settings.backbone}", draft.file(ACCOUNT_FILE))
    detector.freeze_backbone(False)
    share = config.extra_share
    best = storage.absolute(draft.file(artifacts.BEST))
    selection = fit_best(
        config,
        settings,
        module=DetectorModule(detector, settings),
        data=MixedDetectionData(
            data.learned, extra, data.validated, settings, config.loaders, share=share
        ),
        select=lambda log: Selection(data.validated, data.classes, best, settings.patience, log),
        options=options(settings),
        draft=draft,
        tracker=tracker,
    )
    selection.restore(detector)
    device = Hardware(config.accelerator).device
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
    metrics = {
        "seed": settings.seed,
        **count_pictures(draft, data, extra, unread),
        "boxes_learned": sum(len(picture.boxes) for picture in data.learned),
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
