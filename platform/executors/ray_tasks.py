"""Independent tasks on Ray, each in a process of its own that may die.

Who is tried again, and when, is decided here: Ray's own retries would burn every attempt in the
seconds before a dead node is noticed.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from millsight.platform.executors.attempts import Outcome
from millsight.platform.executors.executor import MAX_ATTEMPTS
from millsight.platform.executors.ray_cluster import connected, count_workers
from millsight.platform.executors.tasks import Result, TaskExecutionConfig

POLL_SECONDS = 0.5
# Ray needs about 14 seconds to notice a dead node, and would send the task there again.
RETRY_SECONDS = 20.0


def run_on_ray(
    tasks: Mapping[str, Callable[[], Result]],
    execution: TaskExecutionConfig,
    on_done: Callable[[str], None],
) -> dict[str, Result]:
    """See ``TaskExecutionConfig.run``."""
    cpus, gpus = execution.cpus_per_worker, execution.gpus_per_worker
    # Torch takes its threads from the first; without the second, idle threads spin.
    variables = {"OMP_NUM_THREADS": str(cpus), "OMP_WAIT_POLICY": "PASSIVE"}
    with connected(execution.address):
        attempt = ray.remote(
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=0,
            max_calls=1,
            runtime_env={"env_vars": variables},
        )(_attempt)
        room = count_workers(execution.workers, cpus, gpus)
        crowd = _Crowd(tasks, attempt, room, on_done)
        try:
            crowd.work()
        finally:
            crowd.dismiss()
    return {name: crowd.results[name] for name in tasks}


def _attempt(task: Callable[[], Any], folder: str) -> tuple[Any, Outcome]:
    """Run a task in a worker, with relative paths as in the caller."""
    if Path(folder).is_dir():
        os.chdir(folder)
    try:
        return task(), Outcome()
    except Exception as error:
        return None, Outcome.of(error)


class _Crowd:
    """The driver's side: which tasks wait, which run, what became of them."""

    def __init__(
        self,
        tasks: Mapping[str, Callable[[], Any]],
        attempt: Any,
        room: int,
        on_done: Callable[[str], None],
    ) -> None:
        self._tasks, self._attempt, self._room, self._on_done = tasks, attempt, room, on_done
        self._ready_at = dict.fromkeys(tasks, 0.0)
        self._running: dict[Any, str] = {}
        self._attempts: Counter[str] = Counter()
        self._failed: dict[str, Outcome] = {}
        self.results: dict[str, Any] = {}

    def work(self) -> None:
        """Go on until every task is done or was given up."""
        while self._ready_at or self._running:
            self._hand_out()
            self._collect()
        if self._failed:
            errors = "\n".join(f"{name}: {found.error}" for name, found in self._failed.items())
            raise RuntimeError(
                f"{len(self._failed)} of {len(self._tasks)} tasks failed {MAX_ATTEMPTS} times; the "
                f"others are done and will be found by the next run.\n{errors}"
            )

    def dismiss(self) -> None:
        """End what still runs."""
        for call in self._running:
            ray.cancel(call, force=True)

    def _hand_out(self) -> None:
        now = time.monotonic()
        ready = [name for name, at in self._ready_at.items() if at <= now]
        for name in ready[: self._room - len(self._running)]:
            del self._ready_at[name]
            self._running[self._attempt.remote(self._tasks[name], str(Path.cwd()))] = name

    def _collect(self) -> None:
        if not self._running:
            time.sleep(POLL_SECONDS)
            return
        answered, _ = ray.wait(list(self._running), num_returns=1, timeout=POLL_SECONDS)
        for call in answered:
            name = self._running.pop(call)
            try:
                result, outcome = ray.get(call)
            except RayError as error:
                result, outcome = None, Outcome(error=f"its worker died: {error}")
            self._settle(name, result, outcome)

    def _settle(self, name: str, result: Any, outcome: Outcome) -> None:
        if outcome.user_error is not None:
            outcome.raise_error()
        if outcome.error is None:
            self.results[name] = result
            self._on_done(name)
            return
        self._attempts[name] += 1
        if self._attempts[name] == MAX_ATTEMPTS:
            self._failed[name] = outcome
            return
        self._ready_at[name] = time.monotonic() + RETRY_SECONDS
        last = outcome.error.strip().rpartition("\n")[2]
        print(f"{name}: tried again in {RETRY_SECONDS:.0f} s. {last}", file=sys.stderr)
