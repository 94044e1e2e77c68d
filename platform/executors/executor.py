"""What every executor promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from millsight.platform.shards import FailedShard, Shard, ShardStore
from millsight.platform.stages import Stage

MAX_ATTEMPTS = 3

OnLanded = Callable[[Shard], None]


def nobody(shard: Shard) -> None:
    """Tell nobody that a shard has landed."""


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """How a run over shards ended.

    Attributes:
        landed: Shards computed by this run.
        skipped: Shards that an earlier run had landed.
        requeued: Attempts that were lost to a dead worker or an error and taken up again.
        failed: Shards given up after ``MAX_ATTEMPTS`` attempts.
        setup_seconds: Until the first worker was ready, the weights placed.
        process_seconds: From there to the end.
    """

    landed: int
    skipped: int
    requeued: int
    failed: tuple[FailedShard, ...]
    setup_seconds: float
    process_seconds: float


class Pool(Protocol):
    """Workers of one stage, which stay set up from one run to the next."""

    def run(self, shards: Sequence[Shard], on_landed: OnLanded = nobody) -> ExecutionReport:
        """Land every shard that has not landed, with at most ``MAX_ATTEMPTS`` attempts each.

        ``on_landed`` is called in this process after each shard that lands, and for the skipped
        ones at the start. The landed shards stay, whatever ends the run; after an error the pool
        is of no more use.
        """
        ...


class Executor(ABC):
    """Runs a stage over shards; what has landed in the store is never computed again."""

    @abstractmethod
    def pool(self, stage: Stage, store: ShardStore) -> AbstractContextManager[Pool]:
        """Keep workers for a stage while the block runs, and free them however it ends.

        They start with the first run that has something to compute.
        """

    def run(
        self,
        stage: Stage,
        shards: Sequence[Shard],
        store: ShardStore,
        on_landed: OnLanded = nobody,
    ) -> ExecutionReport:
        """Land shards on workers of this one run; see ``Pool.run``."""
        with self.pool(stage, store) as pool:
            return pool.run(shards, on_landed)
