"""Model selection on validation: the best weights are kept, and training ends when none come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load, save

from millsight.evaluation.metrics.box_matches import PictureBoxes
from millsight.evaluation.metrics.detection import evaluate_boxes
from millsight.evaluation.metrics.results import BootstrapConfig
from millsight.platform import storage
from millsight.platform.training import Log
from millsight.pretraining.detector.interface import Detections, Detector
from millsight.pretraining.detector.pictures import BoxedPicture

METRIC = "map_50_95"


class Selection(Callback):
    """Judges every validation by mAP@.5:.95, keeps the best weights, stops after ``patience``.

    It judges whatever weights validation runs with: those of an exponential moving average, if its
    callback comes after this one in the trainer's list. Lightning's own callbacks for early
    stopping and best weights see the metric only after the average has been taken out again.

    Args:
        pictures: Of validation, in the order in which they are shown.
        classes: Names, by label.
        address: Of the file that gets the best weights.
        patience: Validations without a better one after which training ends; 0 never ends it.
        log: Told of every validation.
    """

    def __init__(
        self,
        pictures: Sequence[BoxedPicture],
        classes: Sequence[str],
        address: str,
        patience: int,
        log: Log,
    ) -> None:
        self._pictures, self._classes = pictures, classes
        self._address, self._patience, self._log = address, patience, log
        self._found: list[Detections] = []
        self.best = -1.0
        self.best_epoch = -1
        self.waited = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let a resumed run that had stopped early stay stopped."""
        trainer.should_stop = self._is_over()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._found = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        """Collect what was found."""
        self._found += [Detections(*(tensor.cpu() for tensor in one)) for one in outputs["found"]]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge, keep the weights if they are the best so far, stop if it is time."""
        scores = judge(self._pictures, self._found, self._classes)
        # No true box at all is undefined; no weights are better than others then.
        reached = scores[METRIC] if np.isfinite(scores[METRIC]) else 0.0
        if reached > self.best:
            self.best, self.best_epoch, self.waited = reached, trainer.current_epoch, 0
            if trainer.is_global_zero:
                storage.write_bytes(self._address, save(_state(pl_module)))
        else:
            self.waited += 1
        if self._is_over():
            trainer.should_stop = True
        if trainer.is_global_zero:
            self._log({f"val/{name}": value for name, value in scores.items()}, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        vars(self).update(state_dict)

    def restore(self, detector: Detector) -> None:
        """Load the best weights."""
        detector.load_state_dict(load(storage.read_bytes(self._address)))

    def _is_over(self) -> bool:
        return 0 < self._patience <= self.waited


def judge(
    pictures: Sequence[BoxedPicture], found: Sequence[Detections], classes: Sequence[str]
) -> dict[str, float]:
    """Return ``map_50`` and ``map_50_95`` of what was found, NaN without a true box.

    Args:
        pictures: With their true boxes.
        found: One entry per picture.
        classes: Names, by label.
    """
    rows = [
        PictureBoxes(item.boxes, item.labels, *(tensor.numpy() for tensor in one))
        for item, one in zip(pictures, found, strict=True)
    ]
    judged = evaluate_boxes(rows, classes, bootstrap=BootstrapConfig(n_resamples=0)).all
    return {"map_50": judged.map_50.value, "map_50_95": judged.map_50_95.value}


def log_nothing(metrics: Any, step: int) -> None:
    """Stand in for a tracker, on workers that reach none."""


def _state(module: Any) -> dict[str, Any]:
    """Return copies: a transformer's layers share tensors, which safetensors refuses."""
    state = module.detector.state_dict()
    return {name: t.detach().cpu().clone().contiguous() for name, t in state.items()}
