"""Who works on a job: claimed under a lease, so that a killed worker's job is another's."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from millsight.platform.services.database import Database
from millsight.platform.services.jobs import Job, JobState, to_job

MAX_ATTEMPTS = 3
LEASE_S = 30.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until it runs out; only its holder's writes count.

    Attributes:
        job: The job as it was when it was claimed.
        id: Random; a later claim of the same job has another.
    """

    job: Job
    id: str


class JobQueue:
    """Hands out queued jobs, oldest first, each to one worker at a time.

    A worker that is killed stops renewing: its job is queued again when the lease has run out, and
    fails after ``max_attempts``. A worker that was only slow finds its lease gone: ``progress`` and
    ``renew`` say so, and what it still writes changes nothing.

    Args:
        database: Where the jobs lie.
        lease_s: Seconds that a lease lasts unless renewed.
        max_attempts: A job fails for good after so many starts.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        lease_s: float = LEASE_S,
        max_attempts: int = MAX_ATTEMPTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lease_s = lease_s
        self._database = database
        self._max_attempts = max_attempts
        self._clock = clock

    def claim(self, kinds: Collection[str]) -> Lease | None:
        """Take the oldest queued job of these kinds, or nothing if none waits."""
        now = self._clock()
        # Asked without the write lock first: idle workers ask all day.
        if not self._database.all(
            "SELECT 1 FROM jobs WHERE state = 'queued'"
            " UNION ALL SELECT 1 FROM jobs WHERE state = 'running' AND lease_until < ? LIMIT 1",
            now,
        ):
            return None
        with self._database.transaction() as connection:
            self._take_back(connection, now)
            lease = secrets.token_hex(8)
            rows = connection.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, lease = ?,"  # noqa: S608
                " lease_until = ?, done = 0, version = version + 1, updated = ?"
                " WHERE seq = (SELECT seq FROM jobs WHERE state = 'queued'"
                f" AND kind IN ({', '.join('?' * len(kinds))}) ORDER BY seq LIMIT 1) RETURNING *",
                (lease, now + self.lease_s, now, *kinds),
            ).fetchall()
        return Lease(to_job(rows[0]), lease) if rows else None

    def renew(self, lease: Lease) -> bool:
        """Prolong a lease; false if the work should stop: the lease is gone or a cancel came."""
        return self._still_wanted("lease_until = ?", lease, self._clock() + self.lease_s)

    def progress(self, lease: Lease, done: int, total: int, message: str) -> bool:
        """Note how far the work is; false if it should stop."""
        return self._still_wanted(
            "done = ?, total = ?, message = ?, version = version + 1, lease_until = ?, updated = ?",
            lease,
            *(done, total, message, self._clock() + self.lease_s, self._clock()),
        )

    def finish(self, lease: Lease, result: Mapping[str, Any]) -> bool:
        """Settle a job as done; false, and nothing changed, if the lease is gone."""
        return self._settle(lease, JobState.DONE, result=json.dumps(result))

    def fail(self, lease: Lease, error: str) -> bool:
        """Settle a job as failed for good; false, and nothing changed, if the lease is gone."""
        return self._settle(lease, JobState.FAILED, error=error)

    def retry(self, lease: Lease, error: str) -> bool:
        """Queue a job again after an error, or let it fail if that was its last attempt."""
        if lease.job.attempts >= self._max_attempts:
            return self.fail(lease, error)
        return self._settle(lease, JobState.QUEUED, error=error)

    def stop(self, lease: Lease) -> bool:
        """Settle work that stopped: cancelled if that was asked, else queued as if never begun."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = iif(cancelling, 'cancelled', 'queued'),"
                " attempts = attempts - (NOT cancelling), cancelling = 0, lease = NULL,"
                " lease_until = NULL, version = version + 1, updated = ?"
                " WHERE id = ? AND lease = ?",
                (self._clock(), lease.job.id, lease.id),
            ).rowcount
        return changed == 1

    def _take_back(self, connection: sqlite3.Connection, now: float) -> None:
        """Settle the jobs whose workers are gone."""
        connection.execute(
            "UPDATE jobs SET state = iif(cancelling, 'cancelled',"
            " iif(attempts >= ?, 'failed', 'queued')),"
            " error = iif(NOT cancelling AND attempts >= ?,"
            "   'the worker ended ' || attempts || ' times during this job', error),"
            " cancelling = 0, lease = NULL, lease_until = NULL, version = version + 1, updated = ?"
            " WHERE state = 'running' AND lease_until < ?",
            (self._max_attempts, self._max_attempts, now, now),
        )

    def _still_wanted(self, assignments: str, lease: Lease, *values: Any) -> bool:
        rows = self._database.connection.execute(
            f"UPDATE jobs SET {assignments} WHERE id = ? AND lease = ? RETURNING cancelling",  # noqa: S608
            (*values, lease.job.id, lease.id),
        ).fetchall()
        return bool(rows) and not rows[0]["cancelling"]

    def _settle(
        self, lease: Lease, state: JobState, result: str | None = None, error: str | None = None
    ) -> bool:
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = ?, result = ?, error = ?, cancelling = 0, lease = NULL,"
                " lease_until = NULL, version = version + 1, updated = ?"
                " WHERE id = ? AND lease = ?",
                (state, result, error, self._clock(), lease.job.id, lease.id),
            ).rowcount
        return changed == 1
