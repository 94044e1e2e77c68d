"""The replicas: processes that live as long as the service, and are replaced when they die."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Protocol

from millsight.generators.service import replica
from millsight.generators.service.turns import Order, Ticket, Turns
from millsight.platform.executors.attempts import Outcome
from millsight.platform.shards import Shard, ShardStore

POLL_S = 0.2
RETRY_S = 2.0
STOP_WITHIN_S = 2.0
MAX_DEATHS = 3
DIED = (
    f"A process that made these pictures died {MAX_DEATHS} times over the same ones, most likely "
    "for want of memory; what was made before is kept. Ask for smaller pictures or another mode."
)
logger = logging.getLogger(__name__)


class Pool(Protocol):
    """Whoever makes pictures."""

    def running(self) -> AbstractContextManager[None]:
        """Keep the replicas while the block runs."""
        ...

    def answer(
        self, order: Order, shards: Sequence[Shard], check: Callable[[str], None]
    ) -> Iterator[Shard]:
        """Land shards, and yield them in their order; see ``ReplicaPool.answer``."""
        ...


class ReplicaPool:
    """Gives shards to replicas.

    Args:
        count: Replicas.
        device: Torch device of each.
        threads: Torch's threads in each; ``None`` leaves them to torch.
    """

    def __init__(self, count: int, device: str, threads: int | None) -> None:
        self._settings = device, threads
        self._turns = Turns()
        self._changed = threading.Condition()
        self._stopping = False
        self._replicas = [_Replica(self, number) for number in range(count)]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the replicas while the block runs."""
        self._stopping = False
        for one in self._replicas:
            one.start()
        try:
            yield
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            for one in self._replicas:
                one.end()

    @property
    def stopping(self) -> bool:
        """Whether the service ends."""
        return self._stopping

    @property
    def processes(self) -> list[int]:
        """Ids of the processes at work."""
        return [one.process.pid for one in self._replicas if one.process and one.process.pid]

    def spawn(self, number: int) -> tuple[SpawnProcess, Connection]:
        """Start a process."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=replica.main,
            args=(theirs, *self._settings),
            name=f"replica-{number}",
            daemon=True,
        )
        process.start()
        # Only the process may hold it, so that its death closes the pipe.
        theirs.close()
        return process, ours

    def answer(
        self, order: Order, shards: Sequence[Shard], check: Callable[[str], None]
    ) -> Iterator[Shard]:
        """Land the shards that have not landed, and yield all in their order as they are there.

        Args:
            order: Whose they are.
            shards: What to make.
            check: Called several times a second with what is waited for; raises to break off.

        Raises:
            UserError: If settings or materials do not allow it, or replicas die of it.
            RuntimeError: If a replica fails by our fault.
        """
        landed = ShardStore(order.store).landed()
        tickets = {one.id: Ticket(order, one) for one in shards if one.id not in landed}
        try:
            self._add(list(tickets.values()))
            for shard in shards:
                if shard.id in tickets:
                    self._wait(tickets[shard.id], check)
                yield shard
        finally:
            with self._changed:
                self._turns.drop(order.id)

    def take(self, loaded: Sequence[str]) -> Ticket | None:
        """Wait for the next ticket; ``None`` when the service ends."""
        with self._changed:
            while not self._stopping:
                if ticket := self._turns.take(loaded):
                    return ticket
                self._changed.wait()
            return None

    def died(self, ticket: Ticket) -> None:
        """Let another replica have a ticket whose replica died, but not for ever."""
        ticket.deaths += 1
        if ticket.deaths >= MAX_DEATHS:
            ticket.settle(Outcome(error=DIED, user_error=DIED))
            return
        with self._changed:
            self._turns.put_back(ticket)
            self._changed.notify_all()

    def _add(self, tickets: Sequence[Ticket]) -> None:
        with self._changed:
            self._turns.add(tickets)
            self._changed.notify_all()

    def _wait(self, ticket: Ticket, check: Callable[[str], None]) -> None:
        while True:
            while not ticket.done.wait(POLL_S):
                check("")
            outcome = ticket.outcome
            if outcome is None or outcome.error is None:
                return
            if not outcome.disk_full:
                outcome.raise_error()
            check("the service's disk is full: waiting for room")
            ticket.done.clear()
            time.sleep(RETRY_S)
            self._add([ticket])


class _Replica:
    """One process and the thread that gives it work."""

    def __init__(self, pool: ReplicaPool, number: int) -> None:
        self.process: SpawnProcess | None = None
        self._pool = pool
        self._number = number
        self._pipe: Connection | None = None
        self._known: frozenset[str] = frozenset()
        self._loaded: tuple[str, ...] = ()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(
            target=self._serve, name=f"replica-{self._number}", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S)
        self._bury()

    def _serve(self) -> None:
        while (ticket := self._pool.take(self._loaded)) is not None:
            try:
                answer = self._ask(ticket)
            except (EOFError, OSError) as error:
                self._bury()
                if self._pool.stopping:
                    return
                logger.warning("replica %d died at %s (%r)", self._number, ticket.order.id, error)
                self._pool.died(ticket)
                continue
            except Exception as error:
                logger.exception("replica %d cannot be asked", self._number)
                ticket.settle(Outcome.of(error))
                continue
            self._known, self._loaded = answer.known, answer.loaded
            if answer.outcome.worker_broken:
                self._bury()
            ticket.settle(answer.outcome)

    def _ask(self, ticket: Ticket) -> replica.Answer:
        if self.process is None or self._pipe is None or not self.process.is_alive():
            self._bury()
            self.process, self._pipe = self._pool.spawn(self._number)
        order = ticket.order
        stage = None if order.id in self._known else order.stage
        self._pipe.send(replica.Work(order.id, stage, ticket.shard, order.store))
        while not self._pipe.poll(POLL_S):
            if self._pool.stopping:
                raise EOFError("the service ends")
        answer: replica.Answer = self._pipe.recv()
        return answer

    def _bury(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
        if self._pipe is not None:
            self._pipe.close()
        self.process = self._pipe = None
        self._known, self._loaded = frozenset(), ()
