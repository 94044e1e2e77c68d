"""The sets there are: a row each in the service's database, a folder each on its disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from millsight.generators.production.commands import GenerateSampleConfig
from millsight.generators.service.asked import Asked
from millsight.platform.services.database import Database
from millsight.platform.services.jobs import Job
from millsight.platform.services.problems import ProblemError

SCHEMA = """
CREATE TABLE IF NOT EXISTS sets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    asked TEXT NOT NULL,
    summary TEXT,
    spent REAL NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    reserved REAL NOT NULL,
    created REAL NOT NULL,
    downloaded REAL,
    gone REAL
);
CREATE INDEX IF NOT EXISTS sets_by_owner ON sets (owner, created);
CREATE TABLE IF NOT EXISTS pictures (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    set_id TEXT NOT NULL,
    id TEXT NOT NULL,
    shard TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    decision TEXT,
    view TEXT NOT NULL,
    UNIQUE (set_id, id)
);
"""
DAY_S = 86_400
# Until a set has ended, all that it may take is set aside.
TAKEN = "iif(j.state IN ('queued', 'running'), s.reserved, s.spent)"
COUNTS = (
    "(SELECT count(*) FROM pictures WHERE set_id = s.id AND accepted) AS accepted,"
    " (SELECT count(*) FROM pictures WHERE set_id = s.id AND NOT accepted) AS rejected,"
    " (SELECT count(*) FROM pictures WHERE set_id = s.id AND decision = 'keep') AS kept,"
    " (SELECT count(*) FROM pictures WHERE set_id = s.id AND decision = 'drop') AS dropped"
)
SELECT = f"SELECT s.*, {TAKEN} AS taken, {COUNTS} FROM sets s JOIN jobs j ON j.id = s.id"  # noqa: S608


@dataclass(frozen=True, slots=True)
class GeneratedSet:
    """One set.

    Attributes:
        seq: Grows with each set.
        id: That of its job.
        owner: Id of the token that asked for it.
        asked: What was asked for.
        summary: ``Collection.summary()`` of the samples judged so far.
        bytes: On disk.
        taken: Megapixel steps that it has spent, or that are set aside for it.
        created: Seconds since the epoch.
        downloaded: Likewise; ``None`` if nobody has.
        accepted: Pictures that the filters let pass.
        rejected: Pictures that they did not.
        kept: Of the accepted ones, those kept by hand.
        dropped: Those dropped by hand.
    """

    seq: int
    id: str
    owner: str
    asked: Asked
    summary: dict[str, Any] | None
    bytes: int
    taken: float
    created: float
    downloaded: float | None
    accepted: int
    rejected: int
    kept: int
    dropped: int

    @property
    def config(self) -> GenerateSampleConfig:
        """The command's settings that make this set."""
        return self.asked.config


class SetStore:
    """Sets on disk.

    Args:
        folder: The service's folder.
        database: With ``SCHEMA``.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, folder: Path, database: Database, clock: Callable[[], float] = time.time
    ) -> None:
        self._sets = folder / "sets"
        self._database = database
        self._clock = clock
        # Between a look at what is left and the set that takes of it, nobody else may take.
        self.admitting = threading.Lock()
        self._sets.mkdir(parents=True, exist_ok=True)

    def folder(self, set_id: str) -> Path:
        """Return where a set's files lie."""
        return (self._sets / set_id).absolute()

    def open(self, job: Job) -> None:
        """Note a set once its job exists; doing it twice is doing it once."""
        asked = Asked.from_dict(job.request)
        self._database.connection.execute(
            "INSERT OR IGNORE INTO sets (id, owner, asked, reserved, created)"
            " VALUES (?, ?, ?, ?, ?)",
            (job.id, job.owner, json.dumps(job.request), asked.reserved, job.created),
        )

    def get(self, set_id: str) -> GeneratedSet:
        """Read a set.

        Raises:
            ProblemError: 404 if there is none of this id.
        """
        rows = self._database.all(f"{SELECT} WHERE s.id = ? AND s.gone IS NULL", set_id)
        if not rows:
            raise ProblemError(HTTPStatus.NOT_FOUND, "There is no set of this id (any more).")
        return _to_set(rows[0])

    def page(
        self, count: int, *, before: int | None = None, owner: str | None = None
    ) -> list[GeneratedSet]:
        """List sets, newest first; ``before`` is the ``seq`` to go on from."""
        rows = self._database.all(
            f"{SELECT} WHERE s.gone IS NULL AND (? IS NULL OR s.seq < ?)"
            " AND (? IS NULL OR s.owner = ?) ORDER BY s.seq DESC LIMIT ?",
            *(before, before, owner, owner, count),
        )
        return [_to_set(row) for row in rows]

    def usage(self, owner: str) -> tuple[float, int]:
        """Return a token's megapixel steps of the last 24 hours, and the bytes of its sets."""
        (row,) = self._database.all(
            f"SELECT coalesce(sum({TAKEN}), 0) FROM sets s JOIN jobs j ON j.id = s.id"  # noqa: S608
            " WHERE s.owner = ? AND s.created > ?",
            *(owner, self._clock() - DAY_S),
        )
        (taken,) = self._database.all(
            "SELECT coalesce(sum(bytes), 0) FROM sets WHERE owner = ? AND gone IS NULL", owner
        )
        return float(row[0]), int(taken[0])

    def freed_in(self, owner: str, wanted: float) -> float:
        """Return in how many seconds a token has ``wanted`` megapixel steps more than now."""
        now = self._clock()
        rows = self._database.all(
            f"SELECT s.created, {TAKEN} AS taken FROM sets s JOIN jobs j ON j.id = s.id"  # noqa: S608
            " WHERE s.owner = ? AND s.created > ? ORDER BY s.created",
            *(owner, now - DAY_S),
        )
        for row in rows:
            wanted -= row["taken"]
            if wanted <= 0:
                return float(row["created"]) + DAY_S - now
        return float(DAY_S)

    def note(self, set_id: str, summary: Mapping[str, Any], spent: float) -> None:
        """Note how far a set is, its megapixel steps, and what it takes of the disk."""
        size = sum(file.stat().st_size for file in self.folder(set_id).rglob("*.parquet"))
        self._database.connection.execute(
            # A set that begins anew after a kill judges again what it had tried.
            "UPDATE sets SET summary = ?, spent = max(spent, ?), bytes = ? WHERE id = ?",
            (json.dumps(summary), spent, size, set_id),
        )

    def note_download(self, set_id: str) -> None:
        """Note that somebody took a set away."""
        self._database.connection.execute(
            "UPDATE sets SET downloaded = coalesce(downloaded, ?) WHERE id = ?",
            (self._clock(), set_id),
        )

    def delete(self, set_id: str) -> None:
        """Forget a set, then remove its files; what it has spent stays spent."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE sets SET gone = ? WHERE id = ?", (self._clock(), set_id))
            connection.execute("DELETE FROM pictures WHERE set_id = ?", (set_id,))
        shutil.rmtree(self.folder(set_id), ignore_errors=True)

    def sweep(self, keep_downloaded_days: float, keep_days: float) -> None:
        """Delete what has expired."""
        now = self._clock()
        rows = self._database.all(
            "SELECT s.id FROM sets s JOIN jobs j ON j.id = s.id WHERE s.gone IS NULL"
            " AND j.state NOT IN ('queued', 'running') AND (j.updated < ? OR s.downloaded < ?)",
            *(now - keep_days * DAY_S, now - keep_downloaded_days * DAY_S),
        )
        for row in rows:
            self.delete(row["id"])

    def clean(self) -> None:
        """Remove folders of no set, which a kill may leave; only while no set can begin."""
        known = {row["id"] for row in self._database.all("SELECT id FROM sets WHERE gone IS NULL")}
        for folder in self._sets.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)


def _to_set(row: sqlite3.Row) -> GeneratedSet:
    values = {name: row[name] for name in GeneratedSet.__slots__}
    values["asked"] = Asked.from_dict(json.loads(row["asked"]))
    values["summary"] = json.loads(row["summary"]) if row["summary"] else None
    return GeneratedSet(**values)
