"""Model selection on validation: the best weights are kept, and training ends when none come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks.weight_averaging import EMAWeightAveraging
from safetensors.torch import load, save
from torch import nn

from millsight.platform import storage
from millsight.platform.training import Log


class BestWeights(Callback, ABC):
    """Judges every validation by one metric, keeps the best weights, stops after ``patience``.

    It judges whatever weights validation runs with: those of an exponential moving average, if its
    callback comes after this one in the trainer's list. Lightning's own callbacks for early
    stopping and best weights see the metric only after the average has been taken out again.

    Args:
        address: Of the file that gets the best weights.
        patience: Validations without a better one after which training ends; 0 never ends it.
        log: Told of every validation.
    """

    metric: ClassVar[str]

    def __init__(self, address: str, patience: int, log: Log) -> None:
        self._address, self._patience, self._log = address, patience, log
        self.best = -1.0
        self.best_epoch = -1
        self.waited = 0

    @abstractmethod
    def collect(self, outputs: Any) -> None:
        """Take what ``validation_step`` returned for one batch."""

    @abstractmethod
    def forget(self) -> None:
        """Begin a validation anew."""

    @abstractmethod
    def judge(self) -> Mapping[str, float]:
        """Return the metrics of what was collected, ``metric`` among them; NaN where undefined."""

    @abstractmethod
    def network(self, module: Any) -> nn.Module:
        """Return the part of the Lightning module whose weights are kept."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let a resumed run that had stopped early stay stopped."""
        trainer.should_stop = self._is_over()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.forget()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        """Collect what was found."""
        self.collect(outputs)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge, keep the weights if they are the best so far, stop if it is time."""
        scores = self.judge()
        # Nothing to judge by is undefined; no weights are better than others then.
        reached = scores[self.metric] if np.isfinite(scores[self.metric]) else 0.0
        if reached > self.best:
            self.best, self.best_epoch, self.waited = reached, trainer.current_epoch, 0
            if trainer.is_global_zero:
                storage.write_bytes(self._address, save(_state(self.network(pl_module))))
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

    def restore(self, network: nn.Module) -> None:
        """Load the best weights."""
        network.load_state_dict(load(storage.read_bytes(self._address)))

    def _is_over(self) -> bool:
        return 0 < self._patience <= self.waited


def with_average(selection: BestWeights, decay: float) -> tuple[Callback, ...]:
    """Put the average after the selection, which then judges the averaged weights.

    Args:
        selection: The selection.
        decay: Per step, of the exponential moving average; 0 for none.
    """
    return (selection, EMAWeightAveraging(decay=decay)) if decay else (selection,)


def log_nothing(metrics: Any, step: int) -> None:
    """Stand in for a tracker, on workers that reach none."""


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies: a transformer's layers share tensors, which safetensors refuses."""
    state = network.state_dict()
    return {name: t.detach().cpu().clone().contiguous() for name, t in state.items()}
