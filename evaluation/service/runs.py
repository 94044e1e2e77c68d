"""The runs there are: a row each in the service's database, a folder each on its disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from millsight.evaluation.service.datasets import Dataset
from millsight.platform.services.database import Database
from millsight.platform.services.jobs import Job
from millsight.platform.services.problems import ProblemError

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    dataset TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    owner TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    tasks TEXT NOT NULL,
    headline TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_dataset ON runs (dataset, seq);
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One judged submission.

    Attributes:
        seq: Grows with each run.
        id: That of the job it came of.
        name: As its owner called it.
        dataset: Name of the dataset.
        fingerprint: Of the dataset as it was judged against.
        owner: Id of the token that submitted it.
        owner_name: Name of that token at that time.
        tasks: What was judged.
        headline: Metric name to estimate, as JSON.
        created: Seconds since the epoch.
    """

    seq: int
    id: str
    name: str
    dataset: str
    fingerprint: str
    owner: str
    owner_name: str
    tasks: list[str]
    headline: dict[str, dict[str, float | None]]
    created: float


class RunStore:
    """Runs on disk.

    Args:
        folder: The service's folder.
        database: With ``SCHEMA``.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.work = folder / "work"
        self._runs = folder / "runs"
        self._database = database

    def clean(self) -> None:
        """Remove what a killed process left: unfinished work, and folders of no run."""
        shutil.rmtree(self.work, ignore_errors=True)
        self._runs.mkdir(parents=True, exist_ok=True)
        for folder in self._runs.iterdir():
            if not self.exists(folder.name):
                shutil.rmtree(folder)

    def folder(self, run: str) -> Path:
        """Return where a run's files lie."""
        return self._runs / run

    def exists(self, run: str) -> bool:
        """Say whether there is a run of this id."""
        return bool(self._database.all("SELECT 1 FROM runs WHERE id = ?", run))

    def get(self, run: str) -> Run:
        """Read a run.

        Raises:
            ProblemError: 404 if there is none of this id.
        """
        rows = self._database.all("SELECT * FROM runs WHERE id = ?", run)
        if not rows:
            raise ProblemError(HTTPStatus.NOT_FOUND, "There is no run of this id.")
        return _to_run(rows[0])

    def page(
        self,
        count: int,
        datasets: list[str],
        *,
        before: int | None = None,
        owner: str | None = None,
    ) -> list[Run]:
        """List runs of these datasets, newest first; ``before`` is the ``seq`` to go on from."""
        rows = self._database.all(
            "SELECT * FROM runs WHERE dataset IN (SELECT value FROM json_each(?))"
            " AND (? IS NULL OR seq < ?) AND (? IS NULL OR owner = ?) ORDER BY seq DESC LIMIT ?",
            *(json.dumps(datasets), before, before, owner, owner, count),
        )
        return [_to_run(row) for row in rows]

    def of_dataset(self, dataset: Dataset) -> list[Run]:
        """List the runs judged against a dataset as it is now, oldest first."""
        rows = self._database.all(
            "SELECT * FROM runs WHERE dataset = ? AND fingerprint = ? ORDER BY seq",
            *(dataset.name, dataset.fingerprint),
        )
        return [_to_run(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Count the runs of each dataset."""
        rows = self._database.all("SELECT dataset, count(*) FROM runs GROUP BY dataset")
        return {str(dataset): int(count) for dataset, count in rows}

    def add(self, job: Job, dataset: Dataset, made: Path) -> None:
        """Take over a run's folder, then note it: a kill in between leaves a folder to sweep."""
        content = json.loads((made / "run.json").read_bytes())
        asked, folder = job.request, self.folder(job.id)
        self._runs.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
        self._database.connection.execute(
            "INSERT INTO runs (id, name, dataset, fingerprint, owner, owner_name, tasks, headline,"
            " created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(job.id, asked["name"], dataset.name, dataset.fingerprint, job.owner),
                *(asked["owner"], json.dumps(content["tasks"]), json.dumps(content["headline"])),
                time.time(),
            ),
        )

    def delete(self, run: str) -> None:
        """Forget a run, then remove its files."""
        self._database.connection.execute("DELETE FROM runs WHERE id = ?", (run,))
        shutil.rmtree(self.folder(run), ignore_errors=True)

    def content(self, run: str) -> dict[str, Any]:
        """Read all that was said of a run when it was judged: evaluation, curves, provenance."""
        content: dict[str, Any] = json.loads((self.folder(run) / "run.json").read_bytes())
        return content


def _to_run(row: sqlite3.Row) -> Run:
    values = {name: row[name] for name in Run.__slots__}
    for name in ("tasks", "headline"):
        values[name] = json.loads(values[name])
    return Run(**values)
