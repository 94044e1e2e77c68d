"""One finetuning: draw, train, choose on validation, predict, save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from millsight.platform import artifacts, storage
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.pictures import reopen_picture
from millsight.platform.fingerprints import Input
from millsight.platform.progress import progress_bar
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware, trainer_options
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.downstream.classification.commands import (
    CLASSIFIER,
    FinetuneClassificationConfig,
)
from millsight.pretraining.downstream.classification.data import (
    ClassificationData,
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
from millsight.pretraining.downstream.finetuning import count_pictures, fit_best

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
    data.require(settings.batch_size)
    classifier = start_classifier(sources.start, data.classes, settings.seed)
    best = storage.absolute(draft.file(artifacts.BEST))
    options = trainer_options(
        epochs=settings.epochs, clip_norm=settings.clip_norm, accumulate=1, precision="32"
    )
    selection = fit_best(
        config,
        settings,
        module=ClassificationModule(classifier, settings),
        data=ClassificationData(data, extra, settings, config.loaders, share=config.extra_share),
        select=lambda log: Selection(data.classes, best, settings.patience, log),
        options=options,
        draft=draft,
        tracker=tracker,
    )
    selection.restore(classifier)
    device = Hardware(config.accelerator).device
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
    metrics = {
        "seed": settings.seed,
        **count_pictures(draft, data, extra, unread),
        "best_epoch": selection.best_epoch + 1,
        "val_mean_class_accuracy": selection.best,
    }
    examples = None
    if config.formats:
        shown = [reopen_picture(sample.uri) for sample in data.validated[:COMPARED]]
        examples = torch.stack([squash(picture, settings.image_size) for picture in shown])
    return metrics | release(
        classifier.cpu(),
        draft.file(CLASSIFIER),
        settings,
        inputs=sources.inputs(),
        metrics=metrics,
        examples=examples,
    )
