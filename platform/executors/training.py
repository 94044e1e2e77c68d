"""A Lightning training as data, and where it runs; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from millsight.platform.errors import UserError

if TYPE_CHECKING:
    from lightning import LightningDataModule, LightningModule
    from lightning.pytorch.callbacks import Callback


@dataclass
class TrainingExecutionConfig:
    """Where and how wide a network is trained; with one worker nothing here changes a result.

    Attributes:
        executor: ``local`` is this process, ``ray`` Ray Train.
        workers: Ray's processes, each with its own share of an epoch; each takes a batch of the
            configured size for every step, so more of them make larger steps.
        cpus_per_worker: CPUs, and torch threads, of each.
        gpus_per_worker: GPUs of each, 0 or 1.
        address: ``local`` starts a Ray here, ``auto`` or HOST:PORT joins one; by default the one of
            the job this runs in, else ``local``.
    """

    executor: Literal["local", "ray"] = "local"
    workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: int = 0
    address: str | None = None

    def check(self) -> None:
        """Refuse numbers that make no sense, and Ray's settings without Ray.

        Raises:
            UserError: Naming the setting.
        """
        if self.workers < 1 or self.cpus_per_worker < 1:
            raise UserError("--execution.workers and --execution.cpus_per_worker: at least 1.")
        if self.gpus_per_worker not in (0, 1):
            raise UserError(f"--execution.gpus_per_worker {self.gpus_per_worker}: 0 or 1.")
        if self.executor == "local" and self != TrainingExecutionConfig():
            raise UserError(
                "--execution.workers, cpus_per_worker, gpus_per_worker and address are Ray's; add "
                "--execution.executor ray, or leave them out."
            )


@dataclass(frozen=True)
class Training:
    """All that a worker needs to train; travels to it by pickle.

    Attributes:
        module: At its start.
        data: Its sampler divides an epoch by ``trainer.world_size`` and ``trainer.global_rank``.
        callbacks: Their ``state_dict`` comes back in the checkpoint; nothing else of them does.
        options: Further arguments of ``lightning.Trainer``, such as ``max_epochs``.
    """

    module: LightningModule
    data: LightningDataModule
    callbacks: tuple[Callback, ...]
    options: Mapping[str, Any]
