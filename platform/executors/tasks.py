"""Independent tasks, each long and whole in itself; light to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from millsight.platform.errors import UserError

Result = TypeVar("Result")


@dataclass
class TaskExecutionConfig:
    """Where independent tasks run, such as the trainings of an experiment.

    Attributes:
        executor: ``local`` is this process, one task after another; ``ray`` a process for each, on
            any node. A task whose process died is run again, at most three times; workspace and
            data then lie on a disk that all nodes see under the same path.
        workers: Ray's processes at a time; by default as many as fit.
        cpus_per_worker: CPUs, and torch threads, of each.
        gpus_per_worker: GPUs of each; 0.5 puts two on one GPU.
        address: ``local`` starts a Ray here, ``auto`` or HOST:PORT joins one; by default the one of
            the job this runs in, else ``local``.
    """

    executor: Literal["local", "ray"] = "local"
    workers: int | None = None
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0
    address: str | None = None

    def check(self) -> None:
        """Refuse numbers that make no sense, and Ray's settings without Ray.

        Raises:
            UserError: Naming the setting.
        """
        if self.cpus_per_worker < 1 or (self.workers is not None and self.workers < 1):
            raise UserError("--execution.workers and --execution.cpus_per_worker: at least 1.")
        if self.gpus_per_worker < 0:
            raise UserError("--execution.gpus_per_worker: not negative.")
        if self.executor == "local" and self != TaskExecutionConfig():
            raise UserError(
                "--execution.workers, cpus_per_worker, gpus_per_worker and address are Ray's; add "
                "--execution.executor ray, or leave them out."
            )

    def run(
        self,
        tasks: Mapping[str, Callable[[], Result]],
        on_done: Callable[[str], None] = lambda name: None,
    ) -> dict[str, Result]:
        """Run all tasks and return what they return, in their order.

        Args:
            tasks: By a name for people. On Ray they travel by pickle, and begin in this process's
                working directory where their node has it.
            on_done: Called in this process with the name of each task that is done.

        Raises:
            UserError: If a task raised one, which ends the others, or no Ray answers.
            RuntimeError: If a task's worker died or failed too often on Ray; the others are done.
            Exception: Whatever a task raises in this process.
        """
        if self.executor == "ray":
            from millsight.platform.executors.ray_tasks import run_on_ray

            return run_on_ray(tasks, self, on_done)
        results = {}
        for name, task in tasks.items():
            results[name] = task()
            on_done(name)
        return results
