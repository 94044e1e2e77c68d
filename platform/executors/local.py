"""The executor that needs nothing: shards one after another in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from millsight.platform.executors.attempts import attempt
from millsight.platform.executors.executor import ExecutionReport, Executor, OnLanded, nobody
from millsight.platform.executors.ledger import ShardLedger
from millsight.platform.shards import Shard, ShardStore
from millsight.platform.stages import Stage


class LocalExecutor(Executor):
    """Runs a stage in process.

    Args:
        device: A torch device, or ``"auto"`` for the first GPU if there is one.
        threads: Torch's threads; ``None`` leaves them as they are.
    """

    def __init__(self, device: str = "auto", threads: int | None = None) -> None:
        self.device = device
        self.threads = threads

    @contextmanager
    def pool(self, stage: Stage, store: ShardStore) -> Iterator[LocalPool]:
        """See ``Executor.pool``."""
        yield LocalPool(stage, store, self.device, self.threads)


class LocalPool:
    """This process, which sets the stage up once."""

    def __init__(self, stage: Stage, store: ShardStore, device: str, threads: int | None) -> None:
        self._stage, self._store = stage, store
        self._device, self._threads = device, threads
        self._ready = False

    def run(self, shards: Sequence[Shard], on_landed: OnLanded = nobody) -> ExecutionReport:
        """See ``Pool.run``."""
        with ShardLedger(shards, self._store, on_landed) as ledger:
            if ledger.unfinished:
                self._make_ready()
                ledger.workers_ready()
            while (shard := ledger.take()) is not None:
                ledger.settle(shard, attempt(self._stage, shard, self._store))
            return ledger.report()

    def _make_ready(self) -> None:
        if self._ready:
            return
        if self._threads is not None:
            _set_threads(self._threads)
        self._stage.setup(resolve_device(self._device), read_only(self._stage.weights()))
        self._ready = True


def resolve_device(device: str) -> str:
    """Turn ``"auto"`` into ``"cuda"`` or ``"cpu"``."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _set_threads(threads: int) -> None:
    """Keep torch to ``threads`` threads."""
    import torch

    torch.set_num_threads(threads)


def read_only(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """View arrays as they are on a Ray worker, so that a stage cannot come to depend on writing."""
    views = {name: array.view() for name, array in weights.items()}
    for view in views.values():
        view.flags.writeable = False
    return views
