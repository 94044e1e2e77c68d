"""Shards over Ray actors, on one machine or a cluster.

Ray restarts dead actors; which shard goes where, and how often, is decided here. Ray's own task
retries would burn every attempt in the seconds before a dead node is noticed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError

from millsight.platform.executors.attempts import Outcome
from millsight.platform.executors.executor import (
    MAX_ATTEMPTS,
    ExecutionReport,
    Executor,
    OnLanded,
    nobody,
)
from millsight.platform.executors.ledger import ShardLedger
from millsight.platform.executors.ray_cluster import connected, count_workers, describe_resources
from millsight.platform.executors.ray_worker import ShardWorker
from millsight.platform.shards import Shard, ShardStore
from millsight.platform.stages import Stage

IN_FLIGHT = 2
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 30.0


class RayActorExecutor(Executor):
    """Runs a stage on a pool of actors, each set up once.

    The stage's weights are placed in Ray's object store once per node and the actors read them
    there without a copy. Each actor has at most two shards in hand: one computing, one waiting.

    Args:
        workers: Actors; ``None`` takes as many as the cluster's CPUs and GPUs allow.
        cpus_per_worker: CPUs and torch threads of each.
        gpus_per_worker: GPUs of each; ``0.5`` puts two actors on one GPU.
        device: ``"auto"`` is a GPU if ``gpus_per_worker`` is above zero.
        address: ``"local"`` starts a Ray on this machine, ``"auto"`` or ``"host:port"`` joins a
            running one; ``None`` joins where ``RAY_ADDRESS`` says so, as in a submitted job, and
            is ``"local"`` otherwise.
    """

    def __init__(
        self,
        workers: int | None = None,
        cpus_per_worker: float = 1,
        gpus_per_worker: float = 0,
        device: str = "auto",
        address: str | None = None,
    ) -> None:
        self.workers = workers
        self.cpus_per_worker = cpus_per_worker
        self.gpus_per_worker = gpus_per_worker
        self.device = device
        self.address = address

    @contextmanager
    def pool(self, stage: Stage, store: ShardStore) -> Iterator[RayPool]:
        """See ``Executor.pool``.

        Its ``run`` raises ``UserError`` if there is no Ray at ``address`` or no worker can start,
        and ``RuntimeError`` if the stage's ``setup`` failed three times in a row on a worker.
        """
        with ExitStack() as resources:
            yield RayPool(self, stage, store, resources)

    def start(self, stage: Stage, store: ShardStore) -> _Crew:
        """Put a stage on the Ray that is connected; its workers start as shards want them."""
        most = count_workers(self.workers, self.cpus_per_worker, self.gpus_per_worker)
        unready = ray.put(stage)  # before weights() is called, which may fill the stage
        weights = ray.put(dict(stage.weights()))
        threads = max(1, int(self.cpus_per_worker))
        options: dict[str, Any] = {
            "num_cpus": self.cpus_per_worker,
            "num_gpus": self.gpus_per_worker,
            "max_restarts": -1,
            "max_task_retries": 0,
            # Torch takes its threads from the first; without the second, idle threads spin.
            "runtime_env": {
                "env_vars": {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
            },
        }
        device = self.device
        if device == "auto":
            device = "cuda" if self.gpus_per_worker > 0 else "cpu"
        # Given to setup, not to the constructor: Ray cannot promise a restart of actors whose
        # constructor's arguments are objects.
        arguments = (unready, weights, store, device)
        return _Crew(ray.remote(ShardWorker).options(**options), arguments, most)


class RayPool:
    """Actors that stay set up; the connection to Ray and they end with ``resources``."""

    def __init__(
        self, executor: RayActorExecutor, stage: Stage, store: ShardStore, resources: ExitStack
    ) -> None:
        self._executor, self._stage, self._store = executor, stage, store
        self._resources = resources
        self._crew: _Crew | None = None

    def run(self, shards: Sequence[Shard], on_landed: OnLanded = nobody) -> ExecutionReport:
        """See ``Pool.run`` and ``RayActorExecutor.pool``."""
        with ShardLedger(shards, self._store, on_landed) as ledger:
            if ledger.unfinished:
                self._started().work(ledger, len(shards))
            return ledger.report()

    def _started(self) -> _Crew:
        if self._crew is None:
            self._resources.enter_context(connected(self._executor.address))
            self._crew = self._executor.start(self._stage, self._store)
            self._resources.callback(self._crew.dismiss)
        return self._crew


class _State(Enum):
    AWAY = auto()  # not started yet, or its process or node died
    SETTING_UP = auto()
    READY = auto()


@dataclass
class _Seat:
    """One actor through all its lives, with its calls in the order in which it answers them."""

    actor: Any
    state: _State = _State.AWAY
    calls: deque[tuple[Any, Shard | None]] = field(default_factory=deque)
    away_since: float = field(default_factory=time.monotonic)
    call_at: float = 0.0
    failures: int = 0


class _Crew:
    """The driver's side of the pool.

    A worker gets shards only after it has answered ``ping`` and is set up, so that a node that
    died costs a shard one attempt, not one for every try until Ray has noticed the death.
    """

    def __init__(self, actor_class: Any, arguments: tuple[Any, ...], most: int) -> None:
        self._actor_class = actor_class
        self._arguments = arguments
        self._most = most
        self._seats: list[_Seat] = []

    def work(self, ledger: ShardLedger, shards: int) -> None:
        """Go on until every shard of a run has landed or was given up."""
        self._ledger, self._began, self._warn_at = ledger, False, 0.0
        for seat in self._seats:
            # Nobody has looked since the last run.
            if seat.state is not _State.SETTING_UP:
                seat.state, seat.away_since = _State.AWAY, time.monotonic()
        wanted = min(self._most, shards) - len(self._seats)
        self._seats += [_Seat(self._actor_class.remote()) for _ in range(wanted)]
        while ledger.unfinished:
            self._call_the_absent()
            self._hand_out()
            self._collect()

    def dismiss(self) -> None:
        """End all actors at once, whatever they are doing."""
        for seat in self._seats:
            ray.kill(seat.actor, no_restart=True)

    def _call_the_absent(self) -> None:
        now = time.monotonic()
        absent = [seat for seat in self._seats if seat.state is _State.AWAY]
        for seat in absent:
            if not seat.calls and now >= seat.call_at:
                seat.calls.append((seat.actor.ping.remote(), None))
        # A worker that died is away for the seconds that its restart takes, and has its place.
        waiting = [seat for seat in absent if now >= seat.away_since + PATIENCE_SECONDS]
        if waiting and now >= self._warn_at:
            self._warn_at = now + 10 * PATIENCE_SECONDS
            self._ledger.say(
                f"{len(waiting)} of {len(self._seats)} workers have no place yet; the run goes on "
                f"with the others. {describe_resources()} Fewer --execution.workers, "
                "--execution.cpus_per_worker or --execution.gpus_per_worker would fit."
            )

    def _hand_out(self) -> None:
        for depth in range(IN_FLIGHT):
            for seat in self._seats:
                if seat.state is _State.READY and len(seat.calls) == depth:
                    shard = self._ledger.take()
                    if shard is None:
                        return
                    seat.calls.append((seat.actor.run.remote(shard), shard))

    def _collect(self) -> None:
        first_calls = {seat.calls[0][0]: seat for seat in self._seats if seat.calls}
        if not first_calls:
            time.sleep(POLL_SECONDS)
            return
        answered, _ = ray.wait(list(first_calls), num_returns=1, timeout=POLL_SECONDS)
        for call in answered:
            seat = first_calls[call]
            _, shard = seat.calls.popleft()
            try:
                answer = ray.get(call)
            except RayError as error:
                self._settle_death(seat, shard, error)
            else:
                self._settle_answer(seat, shard, answer)

    def _settle_answer(self, seat: _Seat, shard: Shard | None, answer: Outcome | bool) -> None:
        if answer is True:
            self._begin(seat)
        elif answer is False:
            seat.state = _State.SETTING_UP
            seat.calls.append((seat.actor.setup.remote(*self._arguments), None))
        elif shard is None:
            self._settle_setup(seat, answer)
        else:
            self._ledger.settle(shard, answer)
            if answer.worker_broken:
                ray.kill(seat.actor, no_restart=False)
                self._send_away(seat)

    def _settle_setup(self, seat: _Seat, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._count_failure(seat, outcome)
        else:
            self._begin(seat)

    def _begin(self, seat: _Seat) -> None:
        seat.state, seat.failures = _State.READY, 0
        if not self._began:
            self._began = True
            self._ledger.workers_ready()

    def _settle_death(self, seat: _Seat, shard: Shard | None, error: RayError) -> None:
        never_again = seat.state is _State.AWAY and isinstance(error, ActorDiedError)
        if shard is not None:
            self._ledger.say(f"A worker died at shard {shard.id}; Ray starts it again.")
            self._ledger.settle_lost(shard, f"its worker died: {error}")
        elif seat.state is _State.SETTING_UP or never_again:
            self._count_failure(seat, Outcome(error=f"a worker died while starting: {error}"))
        self._send_away(seat)
        if never_again:
            seat.actor = self._actor_class.remote()

    def _count_failure(self, seat: _Seat, outcome: Outcome) -> None:
        seat.failures += 1
        if outcome.user_error is not None or seat.failures == MAX_ATTEMPTS:
            outcome.raise_error()
        self._send_away(seat)

    def _send_away(self, seat: _Seat) -> None:
        # Only the first call was begun; the shard behind it keeps its attempts.
        for _, shard in reversed(seat.calls):
            if shard is not None:
                self._ledger.settle_waiting(shard)
        seat.calls.clear()
        now = time.monotonic()
        if seat.state is not _State.AWAY:
            seat.state, seat.away_since = _State.AWAY, now
        seat.call_at = now + POLL_SECONDS
