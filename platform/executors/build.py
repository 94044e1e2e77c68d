"""The executor as a configuration; light to import, so that every command can have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from millsight.platform.errors import UserError
from millsight.platform.executors.executor import Executor


@dataclass
class ExecutionConfig:
    """Where and how wide a stage runs; nothing here changes a result.

    Attributes:
        executor: ``local`` is this process, ``ray`` a pool of actors.
        workers: Ray actors; by default as many as fit.
        cpus_per_worker: CPUs, and torch threads, of each actor.
        gpus_per_worker: GPUs of each actor; 0.5 puts two on one GPU.
        device: A torch device; ``auto`` is the GPU if there is one (on Ray: if ``gpus_per_worker``
            is above 0).
        address: ``local`` starts a Ray here, ``auto`` or HOST:PORT joins one; by default the one of
            the job this runs in, else ``local``.
        shard_size: Pictures that land, fail or are repeated together.
    """

    executor: Literal["local", "ray"] = "local"
    workers: int | None = None
    cpus_per_worker: float = 1
    gpus_per_worker: float = 0
    device: str = "auto"
    address: str | None = None
    shard_size: int = 128

    def build(self) -> Executor:
        """Make the executor.

        Raises:
            UserError: If a number makes no sense, or Ray's settings are given to ``local``.
        """
        self._check()
        if self.executor == "local":
            from millsight.platform.executors.local import LocalExecutor

            return LocalExecutor(device=self.device)
        from millsight.platform.executors.ray_actors import RayActorExecutor

        return RayActorExecutor(
            self.workers, self.cpus_per_worker, self.gpus_per_worker, self.device, self.address
        )

    def _check(self) -> None:
        if self.shard_size < 1:
            raise UserError(f"shard_size is {self.shard_size}; at least 1 picture per shard.")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers is {self.workers}; leave it out to take all that fit.")
        if self.cpus_per_worker < 0 or self.gpus_per_worker < 0:
            raise UserError("cpus_per_worker and gpus_per_worker cannot be negative.")
        if self.executor == "ray" and "cuda" in self.device and not self.gpus_per_worker:
            raise UserError(
                "device is a GPU and gpus_per_worker is 0, so Ray would hide the GPUs; set "
                "gpus_per_worker to 1, or to 0.5 for two workers on each GPU."
            )
        if self.executor == "local" and (self.workers is not None or self.address is not None):
            raise UserError("workers and address are Ray's; add executor: ray, or leave them out.")
