"""Whose shard is next: sets in turn, with a liking for what a replica has loaded already."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from millsight.platform.executors.attempts import Outcome
from millsight.platform.shards import Shard
from millsight.platform.stages import Stage

# How often a set may be passed over for one whose adapter is at hand.
PATIENCE = 8
SEPARATOR = "|"


@dataclass(frozen=True)
class Order:
    """What all shards of a set have in common.

    Attributes:
        id: Of the set.
        stage: Makes its pictures.
        store: Directory that shards land in.
        affinity: Base model and adapter, ``BASE|ADAPTER``; empty where there is none.
    """

    id: str
    stage: Stage
    store: str
    affinity: str = ""


@dataclass
class Ticket:
    """One shard to be made.

    Attributes:
        order: Whose.
        shard: Which.
        done: Set when there is an outcome.
        outcome: How it ended.
        deaths: Replicas that died at it.
    """

    order: Order
    shard: Shard
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None
    deaths: int = 0

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits for it."""
        self.outcome = outcome
        self.done.set()


@dataclass
class _Line:
    served: int
    tickets: deque[Ticket] = field(default_factory=deque)
    passed: int = 0


class Turns:
    """Waiting tickets, one line per set; not safe among threads by itself."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(line.tickets) for line in self._lines.values())

    def add(self, tickets: Iterable[Ticket]) -> None:
        """Put tickets at the end of their sets' lines."""
        for ticket in tickets:
            # A set comes back for each round, and would else be first every time.
            line = self._lines.setdefault(ticket.order.id, _Line(served=self._turn - 1))
            line.tickets.append(ticket)

    def put_back(self, ticket: Ticket) -> None:
        """Put a ticket whose replica died at the head of its line, unless its set is gone."""
        if ticket.order.id in self._lines:
            self._lines[ticket.order.id].tickets.appendleft(ticket)

    def drop(self, order: str) -> None:
        """Forget a set."""
        self._lines.pop(order, None)

    def take(self, loaded: Collection[str]) -> Ticket | None:
        """Take the next ticket for a replica, or nothing if none waits.

        Sets take turns; one whose adapter the replica has in memory goes first, then one of the
        same base model, but nobody is passed over more than ``PATIENCE`` times in a row.

        Args:
            loaded: Affinities that the replica has in memory.
        """
        waiting = [line for line in self._lines.values() if line.tickets]
        if not waiting:
            return None
        bases = {name.partition(SEPARATOR)[0] for name in loaded}

        def liking(line: _Line) -> tuple[int, int]:
            wanted = line.tickets[0].order.affinity
            fit = 2 * (wanted in loaded) or int(wanted.partition(SEPARATOR)[0] in bases)
            return fit, -line.served

        longest = max(waiting, key=lambda line: line.passed)
        chosen = longest if longest.passed >= PATIENCE else max(waiting, key=liking)
        for line in waiting:
            line.passed += 1
        self._turn += 1
        chosen.passed, chosen.served = 0, self._turn
        return chosen.tickets.popleft()
