"""Training a Lightning module: in this process or on Ray, checkpoints, exact resume, progress."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, RichProgressBar
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from millsight.platform import artifacts, storage
from millsight.platform.artifacts import Draft
from millsight.platform.checkpoints import AtomicCheckpointIO
from millsight.platform.errors import UserError, without_traceback
from millsight.platform.executors.training import Training, TrainingExecutionConfig
from millsight.platform.training_speed import Speed

Log = Callable[[Mapping[str, float], int], None]
SEED_STEP = 1_000_003
Precision = Literal["32", "bf16"]


@dataclass(frozen=True)
class Hardware:
    """Where to train; nothing here decides which weights are aimed at.

    Attributes:
        accelerator: Lightning's name: ``auto``, ``cpu``, ``gpu``.
        progress_bar: Whether to draw one.
    """

    accelerator: str = "auto"
    progress_bar: bool = True

    @property
    def device(self) -> str:
        """The torch device for what is done beside the training."""
        return "cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def train(
    training: Training,
    execution: TrainingExecutionConfig,
    draft: Draft,
    log: Log,
    hardware: Hardware | None = None,
    *,
    away: Sequence[Callback] = (),
) -> None:
    """Train to the last epoch, where ``execution`` says; goes on where a killed run stopped.

    Args:
        training: Its module is trained in place.
        execution: Where.
        draft: Artifact that keeps the checkpoint; for Ray, on a disk that all nodes see.
        log: Takes what Ray's workers logged, once per epoch and at the end.
        hardware: Of this process.
        away: Callbacks for Ray's workers, which reach no tracker.

    Raises:
        UserError: If no Ray answers, or the training raised one.
        KeyboardInterrupt: If the run was stopped by Ctrl-C.
    """
    checkpoint = draft.file(artifacts.CHECKPOINT)
    if execution.executor == "ray" and not _exists(checkpoint):
        _train_on_ray(replace(training, callbacks=tuple(away)), execution, draft, log)
    fit(training, checkpoint, hardware)


def fit(training: Training, checkpoint: str, hardware: Hardware | None = None) -> None:
    """Train in this process; goes on after the last whole epoch if ``checkpoint`` is there.

    On a CPU, a run that was killed and resumed ends with the very weights of one that was not.

    Args:
        training: Its module is trained in place and left in evaluation mode; its callbacks see
            every epoch before the state is saved.
        checkpoint: File that is written whole after every epoch, and its weights beside it.
        hardware: By default whatever is there.

    Raises:
        UserError: If the training raised one.
        KeyboardInterrupt: If the run was stopped by Ctrl-C.
    """
    hardware = hardware or Hardware()
    bar = [RichProgressBar(leave=False)] if hardware.progress_bar else []
    with _quiet():
        trainer = Trainer(
            **training.options,
            accelerator=hardware.accelerator,
            devices=1,
            callbacks=[Speed(), *training.callbacks, EpochCheckpoint(checkpoint), *bar],
            plugins=[AtomicCheckpointIO()],
            logger=False,
            enable_model_summary=False,
            enable_progress_bar=hardware.progress_bar,
            num_sanity_val_steps=0,
        )
        resumed = checkpoint if Path(checkpoint).exists() else None
        try:
            trainer.fit(training.module, training.data, ckpt_path=resumed, weights_only=True)
        except UserError as error:
            raise without_traceback(error) from None
        except SystemExit:
            # Lightning turns Ctrl-C into an exit, which the tracker would take for a failure.
            raise KeyboardInterrupt from None
    training.module.eval()


def trainer_options(
    *, epochs: int, clip_norm: float, accumulate: int, precision: Precision
) -> dict[str, Any]:
    """Return what a configuration tells Lightning's trainer.

    Args:
        epochs: Passes over the pictures.
        clip_norm: Gradients are scaled down to this norm; 0 leaves them.
        accumulate: Batches whose gradients are added up before the weights change.
        precision: ``bf16`` computes in bfloat16 where that is safe; weights stay float32.
    """
    return {
        "max_epochs": epochs,
        "gradient_clip_val": clip_norm or None,
        "accumulate_grad_batches": accumulate,
        "precision": "bf16-mixed" if precision == "bf16" else "32-true",
    }


class MetricLog(Callback):
    """Hands the losses and speed of every step, and validations' losses, to a tracker."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the step's losses, speed, memory and learning rate."""
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


class EpochKeys(DistributedSampler[tuple[int, int]]):
    """Shuffled keys ``(epoch, index)`` of a dataset; the order depends on seed and epoch alone.

    Lightning sets the epoch, also after a resume, and leaves a distributed sampler in its place.

    Args:
        items: What is drawn from.
        world: Workers that share an epoch.
        rank: Which of them this is.
        seed: Of the order.
    """

    def __init__(self, items: Sized, world: int, rank: int, seed: int) -> None:
        places = cast(Dataset[tuple[int, int]], items)
        super().__init__(places, num_replicas=world, rank=rank, seed=seed)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield this worker's keys."""
        for index in super().__iter__():
            yield self.epoch, cast(int, index)


def seed_step(seed: int, epoch: int, batch_index: int) -> None:
    """Seed torch for one step, so that a resumed run draws what an uninterrupted one does.

    Seeding by epoch does not do: the first epoch after a resume opens its data later, and the
    loader draws as well.

    Args:
        seed: Of the training.
        epoch: From 0.
        batch_index: Of the step within the epoch, from 0.
    """
    torch.manual_seed((seed * SEED_STEP + epoch) * SEED_STEP + batch_index)


def require_finite(
    terms: Mapping[str, torch.Tensor],
    step: int,
    ways_out: str = "--training.learning_rate or --training.clip_norm",
) -> None:
    """Refuse to learn from a loss that is not finite.

    Args:
        terms: Scalars whose sum is the loss, or that it is made of, by name.
        step: Of the optimizer.
        ways_out: Settings to lower.

    Raises:
        UserError: With the terms.
    """
    total = torch.stack([term.detach().float() for term in terms.values()]).sum().item()
    if not math.isfinite(total):
        named = ", ".join(f"{name} {term.item():g}" for name, term in terms.items())
        raise UserError(
            f"the loss became {total} at step {step} ({named}); lower {ways_out}. With another "
            "setting training begins anew; what this run left is the .partial directory of its "
            "output."
        )


def training_loader(
    data: Dataset[Any],
    batch_size: int,
    *,
    seed: int,
    loaders: int,
    trainer: Trainer | None,
    collate: Callable[[list[Any]], Any],
) -> DataLoader[Any]:
    """Load a dataset that is asked by ``(epoch, index)``: shuffled, whole batches only.

    Args:
        data: With a length.
        batch_size: Items per step, fewer where there are not so many.
        seed: Of the order, which depends on it and the epoch alone.
        loaders: Processes that read ahead; 0 reads between the steps.
        trainer: Says which share of an epoch is this worker's; ``None`` for all of it.
        collate: Makes a batch of items.
    """
    world, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
    sampler = EpochKeys(cast(Sized, data), world, rank, seed)
    return DataLoader(
        data,
        min(batch_size, len(sampler)),
        sampler=sampler,
        drop_last=True,
        collate_fn=collate,
        num_workers=loaders,
        persistent_workers=loaders > 0,
        pin_memory=torch.cuda.is_available(),
    )


def validation_loader(
    data: Dataset[Any], batch_size: int, collate: Callable[[list[Any]], Any]
) -> DataLoader[Any]:
    """Load a dataset in its order, whole on every worker, so that no number depends on their count.

    Args:
        data: With a length.
        batch_size: Items per step.
        collate: Makes a batch of items.
    """
    sampler: DistributedSampler[Any] = DistributedSampler(
        data, num_replicas=1, rank=0, shuffle=False
    )
    return DataLoader(data, batch_size, sampler=sampler, collate_fn=collate)


def _train_on_ray(
    training: Training, execution: TrainingExecutionConfig, draft: Draft, log: Log
) -> None:
    """Train on Ray Train up to the checkpoint that ``fit`` then finds finished."""
    from millsight.platform.executors.ray_train import train_on_ray

    fingerprint = storage.read_bytes(draft.file(artifacts.MARKER)).decode()
    directory = draft.file("ray")
    for epoch in train_on_ray(
        training,
        execution,
        name=f"millsight-{fingerprint[:12]}",
        directory=directory,
        checkpoint=draft.file(artifacts.CHECKPOINT),
    ):
        log(epoch, int(epoch["step"]))
    fs, path = storage.filesystem(directory)
    fs.rm(path, recursive=True)


def _exists(address: str) -> bool:
    fs, path = storage.filesystem(address)
    return bool(fs.exists(path))


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
