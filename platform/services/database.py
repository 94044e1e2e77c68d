"""One SQLite file that threads and processes of one machine share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millsight.platform.errors import UserError

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 20
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    request TEXT NOT NULL,
    cost REAL NOT NULL,
    state TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    cancelling INTEGER NOT NULL DEFAULT 0,
    lease TEXT,
    lease_until REAL,
    result TEXT,
    error TEXT,
    created REAL NOT NULL,
    updated REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, seq);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, state);
CREATE TABLE IF NOT EXISTS idempotency (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    job TEXT NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (owner, key)
);
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL,
    revoked REAL
);
"""


class Database:
    """A SQLite file in WAL mode, with one connection per thread.

    A commit is on the disk when it returns: neither kill -9 nor a power cut takes it back. The file
    must lie on this machine's own disk, since WAL does not work over network file systems.

    Args:
        path: The file; made with its folder if missing.
        schema: ``CREATE ... IF NOT EXISTS`` statements of the room that uses the service.

    Raises:
        UserError: If the file is not a database or a newer millsight wrote it.
    """

    def __init__(self, path: Path, schema: str = "") -> None:
        self.path = path
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._prepare(schema)
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{path} cannot be used as the service's database ({error}): move it away or name "
                "another folder."
            ) from error

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection; outside ``transaction`` each statement commits by itself."""
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect()
        connection: sqlite3.Connection = self._local.connection
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Take the write lock at once, and commit at the end or roll back on an error."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self.connection.execute(sql, values).fetchall()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _prepare(self, schema: str) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{self.path} was written by a newer millsight (schema {version}, this one knows "
                f"{SCHEMA_VERSION}): update millsight or name another folder."
            )
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.executescript(SCHEMA + schema)
        self.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
