"""The job store: what was asked for, who works on it, and what came of it, on disk."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from millsight.platform.fingerprints import digest
from millsight.platform.services.database import Database
from millsight.platform.services.problems import ProblemError, TooManyRequestsError

RETRY_WHEN_FULL_S = 10


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was when it was read.

    Attributes:
        seq: Grows with each job submitted; the order of work, and of lists.
        id: 32 hex digits.
        kind: Which handler works on it.
        owner: Id of the token that submitted it.
        request: What was asked for, JSON-like.
        cost: In the service's own unit, pictures for example.
        state: Where it stands.
        version: Grows by one with every change; the id of its Server-Sent Events.
        done: Units of work finished.
        total: Units of work in all; 0 while unknown.
        message: What is being done, for a person.
        attempts: How often work on it began.
        cancelling: Someone asked for its end and the worker has not heard of it yet.
        result: What the handler returned, once done.
        error: Why it failed.
        created: Seconds since the epoch.
        updated: Seconds since the epoch.
    """

    seq: int
    id: str
    kind: str
    owner: str
    request: dict[str, Any]
    cost: float
    state: JobState
    version: int
    done: int
    total: int
    message: str
    attempts: int
    cancelling: bool
    result: dict[str, Any] | None
    error: str | None
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait.

    Attributes:
        queued: Jobs queued or running in all.
        queued_per_owner: The same for one token.
        cost_per_owner: Sum of the costs of one token's queued and running jobs.
    """

    queued: int = 1000
    queued_per_owner: int = 100
    cost_per_owner: float = 1_000_000


class JobStore:
    """Jobs in SQLite, shared by the threads and processes of one machine.

    Args:
        database: Where they lie.
        limits: How much may wait.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        limits: QueueLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self._limits = limits or QueueLimits()
        self._clock = clock

    def submit(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        owner: str,
        key: str | None = None,
        cost: float = 1,
    ) -> tuple[Job, bool]:
        """Queue a job, once per idempotency key.

        Args:
            kind: Which handler works on it.
            request: JSON-like; uploaded files by their hash, so that equal bodies are equal here.
            owner: Id of the token that asks; keys of different owners are different keys.
            key: Idempotency key.
            cost: In the service's own unit.

        Returns:
            The job, and whether it is new.

        Raises:
            ProblemError: 409 if the key was used with another request, 429 if too much waits, 422
                if the job alone costs more than one token may have waiting.
        """
        body = digest({"kind": kind, "request": request})
        with self.database.transaction() as connection:
            if key is not None and (known := self._known(connection, owner, key, body)):
                return known, False
            self._check_room(connection, owner, cost)
            job, now = secrets.token_hex(16), self._clock()
            connection.execute(
                "INSERT INTO jobs (id, kind, owner, request, cost, state, created, updated)"
                " VALUES (?, ?, ?, ?, ?, 'queued', ?, ?)",
                (job, kind, owner, json.dumps(request), cost, now, now),
            )
            if key is not None:
                connection.execute(
                    "INSERT INTO idempotency VALUES (?, ?, ?, ?)", (owner, key, body, job)
                )
        return self.get(job), True

    def by_key(self, owner: str, key: str | None) -> Job | None:
        """Return the job that an idempotency key of a token's names already, if there is one."""
        rows = self.database.all(
            "SELECT job FROM idempotency WHERE owner = ? AND key = ?", owner, key
        )
        return self.get(rows[0]["job"]) if rows else None

    def get(self, job: str) -> Job:
        """Read a job.

        Raises:
            ProblemError: 404 if there is none of this id.
        """
        rows = self.database.all("SELECT * FROM jobs WHERE id = ?", job)
        if not rows:
            raise ProblemError(HTTPStatus.NOT_FOUND, "There is no job of this id.")
        return to_job(rows[0])

    def page(
        self,
        count: int,
        *,
        before: int | None = None,
        kinds: Collection[str] = (),
        states: Collection[JobState] = (),
        owner: str | None = None,
    ) -> list[Job]:
        """List jobs, newest first.

        Args:
            count: At most so many.
            before: Only those with a smaller ``seq``: that of the last job of the page before.
            kinds: Only of these kinds.
            states: Only in these states.
            owner: Only this token's.
        """
        wanted = [("seq", [before]), ("kind", kinds), ("state", states), ("owner", [owner])]
        wheres, values = ["1"], []
        for column, given in wanted:
            chosen = [value for value in given if value is not None]
            if chosen:
                marks = ", ".join("?" * len(chosen))
                wheres.append("seq < ?" if column == "seq" else f"{column} IN ({marks})")
                values += chosen
        sql = f"SELECT * FROM jobs WHERE {' AND '.join(wheres)} ORDER BY seq DESC LIMIT ?"  # noqa: S608
        return [to_job(row) for row in self.database.all(sql, *values, count)]

    def counts(self) -> dict[JobState, int]:
        """Count the jobs in each state."""
        rows = self.database.all("SELECT state, count(*) FROM jobs GROUP BY state")
        return dict.fromkeys(JobState, 0) | {JobState(state): count for state, count in rows}

    def cancel(self, job: str) -> Job:
        """End a queued job, or ask the worker of a running one to stop; else change nothing.

        Raises:
            ProblemError: 404 if there is none of this id.
        """
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = iif(state = 'queued', 'cancelled', state),"
                " cancelling = (state = 'running'), version = version + 1, updated = ?"
                " WHERE id = ? AND state IN ('queued', 'running') AND NOT cancelling",
                (self._clock(), job),
            )
        return self.get(job)

    def _known(self, connection: sqlite3.Connection, owner: str, key: str, body: str) -> Job | None:
        row = connection.execute(
            "SELECT digest, job FROM idempotency WHERE owner = ? AND key = ?", (owner, key)
        ).fetchone()
        if row is None:
            return None
        if row["digest"] != body:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "This Idempotency-Key was used for another request: choose a new one.",
            )
        return self.get(row["job"])

    def _check_room(self, connection: sqlite3.Connection, owner: str, cost: float) -> None:
        everybody, own, own_cost = connection.execute(
            "SELECT count(*), coalesce(sum(owner = ?), 0), coalesce(sum((owner = ?) * cost), 0)"
            " FROM jobs WHERE state IN ('queued', 'running')",
            (owner, owner),
        ).fetchone()
        limits = self._limits
        if cost > limits.cost_per_owner:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"The job costs {cost:g}, more than the {limits.cost_per_owner:g} a token may "
                "have waiting: submit it in parts.",
            )
        if everybody >= limits.queued or own >= limits.queued_per_owner:
            raise TooManyRequestsError("Too many jobs wait.", RETRY_WHEN_FULL_S)
        if own_cost + cost > limits.cost_per_owner:
            raise TooManyRequestsError("This token's waiting jobs cost enough.", RETRY_WHEN_FULL_S)


def to_job(row: sqlite3.Row) -> Job:
    """Turn a row of the table ``jobs`` into a record."""
    values = {name: row[name] for name in Job.__slots__}
    values["request"] = _from_json(row["request"])
    values["result"] = _from_json(row["result"]) if row["result"] else None
    values["state"] = JobState(row["state"])
    values["cancelling"] = bool(row["cancelling"])
    return Job(**values)


def _from_json(text: str) -> Any:
    # NaN, an undefined metric, has no form in JSON proper: null says it.
    return json.loads(text, parse_constant=lambda name: None)
