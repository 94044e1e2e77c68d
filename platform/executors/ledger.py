"""The account of one run: which shards wait, how often each was tried, what became of it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from millsight.platform.executors.attempts import Outcome
from millsight.platform.executors.executor import MAX_ATTEMPTS, ExecutionReport
from millsight.platform.executors.progress import Progress
from millsight.platform.shards import FailedShard, Shard, ShardStore


class ShardLedger:
    """Hands out shards and settles what came of them; shows the progress while it is entered.

    Args:
        shards: All shards of the run; those in the store are skipped.
        store: Where they land.
        on_landed: Called after each shard that lands, and at once for the skipped ones.
    """

    def __init__(
        self, shards: Sequence[Shard], store: ShardStore, on_landed: Callable[[Shard], None]
    ) -> None:
        done = store.landed()
        skipped = [shard for shard in shards if shard.id in done]
        self._waiting = deque(shard for shard in shards if shard.id not in done)
        self._unsettled = len(self._waiting)
        self._store = store
        self._on_landed = on_landed
        self._attempts: Counter[str] = Counter()
        self._landed, self._skipped, self._requeued = 0, len(skipped), 0
        self._failed: list[FailedShard] = []
        self._progress = Progress(
            total=sum(len(shard.samples) for shard in shards),
            skipped=sum(len(shard.samples) for shard in skipped),
        )
        self._entered = self._ready = time.perf_counter()
        for shard in skipped:
            on_landed(shard)

    def __enter__(self) -> Self:
        if self.unfinished:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @property
    def unfinished(self) -> bool:
        """Whether a shard has neither landed nor been given up."""
        return self._unsettled > 0

    def workers_ready(self) -> None:
        """Set-up ends and processing begins here."""
        self._ready = time.perf_counter()
        self._progress.restart_clock()

    def say(self, message: str) -> None:
        """Print a line without tearing the progress bar."""
        self._progress.say(message)

    def take(self) -> Shard | None:
        """Return a shard to try, ``None`` if all are in hand or settled."""
        return self._waiting.popleft() if self._waiting else None

    def settle(self, shard: Shard, outcome: Outcome) -> None:
        """Account for one attempt: landed, to be tried again, or given up.

        Raises:
            UserError: If the stage raised one.
        """
        if outcome.user_error is not None:
            outcome.raise_error()
        if outcome.error is None:
            self._settle_landed(shard, outcome.quarantined)
            return
        self._attempts[shard.id] += 1
        if self._attempts[shard.id] < MAX_ATTEMPTS:
            self._requeued += 1
            self._waiting.append(shard)
            return
        failed = FailedShard(shard.id, self._attempts[shard.id], outcome.error)
        self._store.fail(failed)
        self._failed.append(failed)
        self._unsettled -= 1
        self._progress.failed(len(shard.samples))

    def settle_waiting(self, shard: Shard) -> None:
        """Take back a shard that waited at a worker now gone; it keeps its attempts.

        A worker that only could not be reached may have landed it in the meantime.
        """
        if not self._has_landed(shard):
            self._waiting.appendleft(shard)

    def settle_lost(self, shard: Shard, error: str) -> None:
        """Account for a worker that died at ``shard``, perhaps between landing it and saying so."""
        if not self._has_landed(shard):
            self.settle(shard, Outcome(error=error))

    def _has_landed(self, shard: Shard) -> bool:
        if shard.id not in self._store.landed():
            return False
        self._settle_landed(shard, len(self._store.read(shard.id).quarantined))
        return True

    def _settle_landed(self, shard: Shard, quarantined: int) -> None:
        self._landed += 1
        self._unsettled -= 1
        self._progress.landed(len(shard.samples), quarantined)
        self._on_landed(shard)

    def report(self) -> ExecutionReport:
        """Sum up the run so far."""
        return ExecutionReport(
            landed=self._landed,
            skipped=self._skipped,
            requeued=self._requeued,
            failed=tuple(self._failed),
            setup_seconds=self._ready - self._entered,
            process_seconds=time.perf_counter() - self._ready,
        )
