"""Training on Ray Train: workers that may die, a checkpoint after every epoch, exact resume.

Knows Lightning and no method: what is trained comes as a ``Training``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from ray.train import CheckpointConfig, FailureConfig, Result, RunConfig, ScalingConfig
from ray.train.lightning import (
    RayDDPStrategy,
    RayLightningEnvironment,
    RayTrainReportCallback,
    prepare_trainer,
)
from ray.train.torch import TorchTrainer

from millsight.platform import storage
from millsight.platform.checkpoints import AtomicCheckpointIO
from millsight.platform.errors import UserError, without_traceback
from millsight.platform.executors.ray_cluster import connected
from millsight.platform.executors.training import Training, TrainingExecutionConfig
from millsight.platform.training_speed import Speed

MAX_FAILURES = 3
KEPT_CHECKPOINTS = 2
CHECKPOINT = RayTrainReportCallback.CHECKPOINT_NAME

Epochs = list[dict[str, float]]


def train_on_ray(
    training: Training,
    execution: TrainingExecutionConfig,
    *,
    name: str,
    directory: str,
    checkpoint: str,
) -> Epochs:
    """Train to the last epoch and write Lightning's checkpoint of it.

    A worker that dies is started again and goes on after the last whole epoch, at most three times;
    so does a second call with the same ``name`` and ``directory`` after the caller itself died.

    Args:
        training: What to train; not changed.
        execution: Where.
        name: Holds the fingerprint of all that decides the result.
        directory: Address that all nodes see; holds the epochs' checkpoints while it runs.
        checkpoint: File to write, its weights beside it.

    Returns:
        Lightning's logged metrics after every epoch, with ``epoch`` and ``step``.

    Raises:
        UserError: If no Ray answers at ``execution.address``, or the training raised one.
        ray.train.TrainingFailedError: If the workers died or failed too often.
    """
    with connected(execution.address):
        trainer = TorchTrainer(
            _work,
            # By reference: the pictures would be too large for the message that starts a worker.
            train_loop_config={
                "training": ray.put(training),
                "threads": execution.cpus_per_worker,
                "accelerator": "gpu" if execution.gpus_per_worker else "cpu",
            },
            scaling_config=_scaling(execution),
            run_config=RunConfig(
                name=name,
                # Ray takes a relative path for one below its own home.
                storage_path=storage.absolute(directory),
                failure_config=FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=CheckpointConfig(num_to_keep=KEPT_CHECKPOINTS),
            ),
        )
        try:
            result = trainer.fit()
        except ray.train.WorkerGroupError as error:
            _raise_users(error)
            raise
        return _collect(result, checkpoint)


class EpochHistory(Callback):
    """Keeps what was logged, one entry per epoch, in the checkpoint."""

    def __init__(self) -> None:
        self.epochs: Epochs = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the metrics of the epoch."""
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        counts = {"epoch": float(trainer.current_epoch), "step": float(trainer.global_step)}
        self.epochs.append(metrics | counts)

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs for the checkpoint."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the epochs of the checkpoint."""
        self.epochs = list(state_dict["epochs"])


def _work(config: Mapping[str, Any]) -> None:
    """Train in one worker."""
    torch.set_num_threads(config["threads"])
    training: Training = ray.get(config["training"])
    trainer = Trainer(
        **training.options,
        accelerator=config["accelerator"],
        devices="auto",
        strategy=RayDDPStrategy(),  # type: ignore[no-untyped-call]
        plugins=[RayLightningEnvironment(), AtomicCheckpointIO()],  # type: ignore[no-untyped-call]
        callbacks=[Speed(), *training.callbacks, EpochHistory(), RayTrainReportCallback()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    trainer = prepare_trainer(trainer)
    found = ray.train.get_checkpoint()
    if found is None:
        trainer.fit(training.module, training.data)
        return
    with found.as_directory() as folder:
        path = Path(folder) / CHECKPOINT
        trainer.fit(training.module, training.data, ckpt_path=path, weights_only=True)


def _scaling(execution: TrainingExecutionConfig) -> ScalingConfig:
    resources = {"CPU": execution.cpus_per_worker}
    if execution.gpus_per_worker:
        resources["GPU"] = execution.gpus_per_worker
    return ScalingConfig(
        num_workers=execution.workers,
        use_gpu=bool(execution.gpus_per_worker),
        resources_per_worker=resources,
    )


def _raise_users(error: ray.train.WorkerGroupError) -> None:
    """Raise what a user can mend out of what Ray wraps it in."""
    for failure in error.worker_failures.values():
        cause = getattr(failure, "_base_exc", failure)
        if isinstance(cause, UserError):
            raise without_traceback(cause) from None


def _collect(result: Result, checkpoint: str) -> Epochs:
    """Copy the last checkpoint to where the caller wants it."""
    last = result.checkpoint
    if last is None:
        raise RuntimeError(f"Ray Train ended without a checkpoint in {result.path}")
    with last.as_directory() as folder:
        saved = AtomicCheckpointIO().copy(Path(folder) / CHECKPOINT, checkpoint)
    epochs: Epochs = saved["callbacks"][EpochHistory.__qualname__]["epochs"]
    return epochs
