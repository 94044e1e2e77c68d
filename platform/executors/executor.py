"""What every executor promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from millsight.platform.shards import FailedShard, Shard, ShardStore
from millsight.platform.stages import Stage

MAX_ATTEMPTS = 3


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


class Executor(Protocol):
    """Runs a stage over shards; what has landed in the store is never computed again."""

    def run(
        self,
        stage: Stage,
        shards: Sequence[Shard],
        store: ShardStore,
        on_landed: Callable[[Shard], None] = lambda shard: None,
    ) -> ExecutionReport:
        """Land every shard that has not landed, with at most ``MAX_ATTEMPTS`` attempts each.

        ``on_landed`` is called in this process after each shard that lands, and for the skipped
        ones at the start. ``KeyboardInterrupt`` frees the workers and goes on to the caller; the
        landed shards stay.
        """
        ...
