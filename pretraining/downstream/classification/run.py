"""One finetuning: draw, train, choose on validation, predict, save."""

from __future__ import annotations

import json
from collections import Counter
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
from millsight.platform.training import Hardware, Log, MetricLog, train, trainer_options
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.downstream.classification.commands import (
    CLASSIFIER,
    FinetuneClassificationConfig,
)
from millsight.pretraining.downstream.classification.data import (
    ClassificationData,
    LabelledData,
    choose,
    read_extra,
    squash,
)
from millsight.pretraining.downstream.classification.export import release
from millsight.pretraining.downstream.classification.model import start_classifier
from millsight.pretraining.downstream.classification.module import (
    ClassificationModule,
    Selection,
)
from millsight.pretraining.downstream.classification.outputs import write_predictions
from millsight.pretraining.downstream.extra import as_inputs, tell
from millsight.pretraining.selection import log_nothing, with_average

COMPARED = 4


@dataclass(frozen=True)
class Sources:
    """What a classifier is finetuned from.

    Attributes:
        catalog: Labelled pictures.
        start: The backbone's weights.
        extra: Synthetic pictures.
    """

    catalog: Catalog
    start: LoadedWeights
    extra: Sequence[Catalog]

    def inputs(self) -> dict[str, Input]:
        """Name them as an artifact's inputs."""
        return {"data": self.catalog.as_input()} | as_inputs(self.extra)


def make(
    config: FinetuneClassificationConfig, sources: Sources, draft: Draft, tracker: Tracker
) -> dict[str, Any]:
    """Finetune and predict; return the artifact's metrics.

    Raises:
        UserError: If too little is labelled.
    """
    torch.set_num_threads(config.threads)
    settings = config.training
    with progress_bar("reading pictures") as progress:
        data = choose(sources.catalog, config, progress)
    extra = read_extra(sources.extra, data.classes)
    tell(*(Counter(str(sample.label) for sample in part) for part in (data.learned, extra)))
    if len(data.learned) < settings.batch_size:
        raise UserError(
            f"--training.batch_size {settings.batch_size}: there are {len(data.learned)} labelled "
            "pictures; lower it, or label more."
        )
    classifier = start_classifier(sources.start, data.classes, settings.seed)
    selection = _selection(config, data, draft, tracker.log)
    options = trainer_options(
        epochs=settings.epochs, clip_norm=settings.clip_norm, accumulate=1, precision="32"
    )
    training = Training(
        ClassificationModule(classifier, settings),
        ClassificationData(data, extra, settings, config.loaders, share=config.extra_share),
        (MetricLog(tracker.log), *with_average(selection, settings.ema)),
        {**options, "check_val_every_n_epoch": settings.validate_every},
    )
    away = with_average(_selection(config, data, draft, log_nothing), settings.ema)
    train(training, config.execution, draft, tracker.log, Hardware(config.accelerator), away=away)
    selection.restore(classifier)
    device = "cuda" if config.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    with progress_bar("predicting") as progress:
        unread = write_predictions(
            draft,
            classifier,
            data.predicted,
            size=settings.image_size,
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
        "pictures_validated": len(data.validated),
        "pictures_predicted": len(data.predicted) - len(unread),
        "quarantined": len(quarantined),
        "classes": len(data.classes),
        "best_epoch": selection.best_epoch + 1,
        "val_mean_class_accuracy": selection.best,
    }
    examples = None
    if config.formats:
        shown = data.validated[:COMPARED]
        examples = torch.stack([squash(sample, settings.image_size) for sample in shown])
    return metrics | release(
        classifier.cpu(),
        draft.file(CLASSIFIER),
        settings,
        inputs=sources.inputs(),
        metrics=metrics,
        examples=examples,
    )


def _selection(
    config: FinetuneClassificationConfig, data: LabelledData, draft: Draft, log: Log
) -> Selection:
    best = storage.absolute(draft.file(artifacts.BEST))
    return Selection(data.classes, best, config.training.patience, log)
