"""The executor that needs nothing: shards one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from millsight.platform.executors.attempts import attempt
from millsight.platform.executors.executor import ExecutionReport
from millsight.platform.executors.ledger import ShardLedger
from millsight.platform.shards import Shard, ShardStore
from millsight.platform.stages import Stage


class LocalExecutor:
    """Runs a stage in process.

    Args:
        device: A torch device, or ``"auto"`` for the first GPU if there is one.
        threads: Torch's threads; ``None`` leaves them as they are.
    """

    def __init__(self, device: str = "auto", threads: int | None = None) -> None:
        self.device = device
        self.threads = threads

    def run(
        self,
        stage: Stage,
        shards: Sequence[Shard],
        store: ShardStore,
        on_landed: Callable[[Shard], None] = lambda shard: None,
    ) -> ExecutionReport:
        """See ``Executor.run``."""
        with ShardLedger(shards, store, on_landed) as ledger:
            if ledger.unfinished:
                if self.threads is not None:
                    _set_threads(self.threads)
                stage.setup(resolve_device(self.device), read_only(stage.weights()))
                ledger.workers_ready()
            while (shard := ledger.take()) is not None:
                ledger.settle(shard, attempt(stage, shard, store))
            return ledger.report()


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
