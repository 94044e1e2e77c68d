"""A process that makes pictures, shard after shard, and lives on."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection

from millsight.platform.executors.attempts import Outcome, attempt
from millsight.platform.shards import Shard, ShardStore
from millsight.platform.stages import Stage


@dataclass(frozen=True)
class Work:
    """A shard to make.

    Attributes:
        order: Id of the set.
        stage: Makes it; ``None`` where the replica has it already.
        shard: What is asked for.
        store: Where it lands.
    """

    order: str
    stage: Stage | None
    shard: Shard
    store: str


@dataclass(frozen=True)
class Answer:
    """How work ended.

    Attributes:
        outcome: Landed, or why not.
        known: Sets whose stages the replica has.
        loaded: Affinities that it has in memory.
    """

    outcome: Outcome
    known: frozenset[str]
    loaded: tuple[str, ...]


def main(pipe: Connection, device: str, threads: int | None) -> None:
    """Work until the other end of the pipe is closed, as it is when the service is killed."""
    # A terminal's Ctrl-C reaches replicas too; the service ends them itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads is not None:
        # Torch, which not every mode needs, reads it when it is imported.
        os.environ["OMP_NUM_THREADS"] = str(threads)
    from millsight.generators.service import workshop
    from millsight.platform.executors.local import resolve_device

    resolved = resolve_device(device)
    while True:
        try:
            work: Work = pipe.recv()
        except EOFError:
            return
        try:
            stage = workshop.ready_stage(work.order, work.stage, resolved)
        except Exception as error:
            outcome = Outcome.of(error)
        else:
            outcome = attempt(stage, work.shard, ShardStore(work.store))
        pipe.send(Answer(outcome, workshop.known(), workshop.loaded()))
