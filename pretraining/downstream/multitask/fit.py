"""Training in this process: checkpoints, exact resume, progress."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, RichProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO

from millsight.platform import storage
from millsight.pretraining.downstream.multitask.config import MultitaskConfig
from millsight.pretraining.downstream.multitask.data import MultitaskData
from millsight.pretraining.downstream.multitask.gradients import Log
from millsight.pretraining.downstream.multitask.module import CLIP_NORM, MultitaskModule


@dataclass(frozen=True)
class Hardware:
    """Where to train; nothing here decides which weights are aimed at.

    Attributes:
        accelerator: Lightning's name: ``auto``, ``cpu``, ``gpu``.
        progress_bar: Whether to draw one.
    """

    accelerator: str = "auto"
    progress_bar: bool = True


def fit(
    module: MultitaskModule,
    data: MultitaskData,
    checkpoint: str,
    callbacks: Sequence[Callback] = (),
    hardware: Hardware | None = None,
) -> None:
    """Train to the last epoch; goes on after the last whole epoch if ``checkpoint`` is there.

    On a CPU, a run that was killed and resumed ends with the very weights of one that was not.

    Args:
        module: Trained in place.
        data: Pictures.
        checkpoint: File that is written whole after every epoch.
        callbacks: For example ``MetricLog``; all see the run before its state is saved.
        hardware: By default whatever is there.

    Raises:
        KeyboardInterrupt: If the run was stopped by Ctrl-C.
    """
    hardware = hardware or Hardware()
    with _quiet():
        trainer = _trainer(module.config, checkpoint, callbacks, hardware)
        resumed = checkpoint if Path(checkpoint).exists() else None
        try:
            trainer.fit(module, data, ckpt_path=resumed, weights_only=True)
        except SystemExit:
            # Lightning turns Ctrl-C into an exit, which the tracker would take for a failure.
            raise KeyboardInterrupt from None
    module.eval()


class MetricLog(Callback):
    """Hands the losses of every step and of every validation to a tracker, or any function."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the step's losses and learning rate."""
        values = _named(trainer.callback_metrics, "train/")
        values["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        self._send(trainer, values)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the validation's losses."""
        self._send(trainer, _named(trainer.callback_metrics, "val/"))

    def _send(self, trainer: Trainer, values: Mapping[str, float]) -> None:
        if trainer.is_global_zero and values:
            self._log(values, trainer.global_step)


class EpochCheckpoint(Checkpoint):
    """Saves after every epoch to one file; as a ``Checkpoint`` it runs after other callbacks."""

    def __init__(self, path: str) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save all that the next epoch depends on."""
        trainer.save_checkpoint(self._path)


class AtomicCheckpointIO(TorchCheckpointIO):
    """A killed run leaves the last whole checkpoint, never half of one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write under another name, fsync, rename."""
        with storage.writing(path) as file:
            torch.save(checkpoint, file)


def _trainer(
    config: MultitaskConfig, checkpoint: str, callbacks: Sequence[Callback], hardware: Hardware
) -> Trainer:
    bar = [RichProgressBar(leave=False)] if hardware.progress_bar else []
    return Trainer(
        accelerator=hardware.accelerator,
        devices=1,
        max_epochs=config.epochs,
        gradient_clip_val=CLIP_NORM,
        callbacks=[*callbacks, EpochCheckpoint(checkpoint), *bar],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=hardware.progress_bar,
        num_sanity_val_steps=0,
    )


def _named(metrics: Mapping[str, torch.Tensor], prefix: str) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if name.startswith(prefix)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice to developers away from the user's terminal."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        logger.setLevel(before)
