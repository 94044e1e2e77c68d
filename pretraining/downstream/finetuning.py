"""Training on few labels: a moving average of the weights is validated, and the best is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any, TypeVar

import lightning

from millsight.platform.artifacts import Draft
from millsight.platform.executors.training import Training
from millsight.platform.runs import write_quarantine
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware, Log, MetricLog, train
from millsight.pretraining.downstream.commands import FinetuneConfig
from millsight.pretraining.downstream.few_labels import FewLabelsConfig
from millsight.pretraining.downstream.labelled import LabelledData
from millsight.pretraining.selection import BestWeights, log_nothing, with_average

Selection = TypeVar("Selection", bound=BestWeights)


def fit_best(
    config: FinetuneConfig,
    settings: FewLabelsConfig,
    *,
    module: lightning.LightningModule,
    data: lightning.LightningDataModule,
    select: Callable[[Log], Selection],
    options: Mapping[str, Any],
    draft: Draft,
    tracker: Tracker,
) -> Selection:
    """Train; return the selection, which holds the best weights.

    Args:
        config: Where to train.
        settings: How often to validate, and the average's decay.
        module: What learns.
        data: What it learns from.
        select: Makes the selection out of whom it tells; workers that reach no tracker have their
            own.
        options: For Lightning's trainer.
        draft: Gets the checkpoints.
        tracker: Who is told.
    """
    selection = select(tracker.log)
    training = Training(
        module,
        data,
        (MetricLog(tracker.log), *with_average(selection, settings.ema)),
        {**options, "check_val_every_n_epoch": settings.validate_every},
    )
    away = with_average(select(log_nothing), settings.ema)
    hardware = Hardware(config.accelerator)
    train(training, config.execution, draft, tracker.log, hardware, away=away)
    return selection


def count_pictures(
    draft: Draft, data: LabelledData[Any], extra: Sized, unread: list[dict[str, Any]]
) -> dict[str, Any]:
    """Write which pictures were set aside; return how many pictures had which part.

    Args:
        draft: Artifact to write into.
        data: Real pictures.
        extra: Synthetic pictures.
        unread: Of the predicted ones, those that cannot be read, with the reason.
    """
    quarantined = [*data.quarantined, *unread]
    write_quarantine(draft, quarantined)
    return {
        "pictures_learned": len(data.learned),
        "synthetic_learned": len(extra),
        "pictures_validated": len(data.validated),
        "pictures_predicted": len(data.predicted) - len(unread),
        "quarantined": len(quarantined),
        "classes": len(data.classes),
    }
