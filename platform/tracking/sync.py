"""Pushes runs that lie in W&B's files to a server, and counts what arrived.

``wandb sync`` ends with 0 on a torn file and, given a run's several folders, takes its link to the
latest one first. So every folder is pushed by itself, in the order of their times, and after each
the server is asked how many rows it has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from millsight.platform.errors import UserError
from millsight.platform.tracking.reader import FILENAME, RunRecord, read_jsonl
from millsight.platform.tracking.wandb_api import WandbApi
from millsight.platform.tracking.wandb_file import read_wandb, write_rest
from millsight.platform.tracking.wandb_tracker import OFFLINE_SUFFIX

# A server may count a moment after it has taken the rows.
COUNT_SECONDS = 10.0
# `wandb sync` alone would go on for ever where the server fails midway.
RETRIES = {
    f"WANDB__{channel}_{name}": value
    for channel in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")
    for name, value in (("RETRY_MAX", "3"), ("RETRY_WAIT_MAX_SECONDS", "2"))
}

State = Literal["pushed", "there", "torn", "short", "failed", "held back"]


@dataclass(frozen=True)
class Account:
    """What became of one folder.

    Attributes:
        folder: One of W&B's, ``offline-run-TIME-ID`` or ``run-TIME-ID``.
        run_id: On the server.
        rows: Of history, in the folder's file as far as it is whole.
        arrived: How many of them the server has.
        state: ``pushed`` just now, or ``there`` already; ``torn``: what is whole was pushed;
            ``short``: the server has fewer rows or more than it should; ``failed``: ``wandb sync``
            did; ``held back``: an earlier folder of the run has not arrived whole.
        note: The reason, in words.
    """

    folder: Path
    run_id: str
    rows: int
    arrived: int
    state: State
    note: str = ""

    @property
    def whole(self) -> bool:
        """Say whether everything is on the server."""
        return self.state in ("pushed", "there")


@dataclass(frozen=True)
class Missing:
    """Steps in a run's JSON Lines that none of its W&B files has.

    Attributes:
        run_id: Which run.
        steps: How many of them there are in the JSON Lines.
        missing: How many of those no W&B file has.
    """

    run_id: str
    steps: int
    missing: int


def find_runs(directory: Path) -> list[list[RunRecord]]:
    """Read the W&B files under a tracking directory, by run, each run's by time.

    Raises:
        UserError: If there is none.
    """
    paths = [path for path in directory.rglob("run-*.wandb") if not path.parent.is_symlink()]
    runs = [run for run in map(read_wandb, sorted(paths, key=_time)) if run.id]
    if not runs:
        raise UserError(f"{directory}: no W&B runs; give --directory the one that tracking wrote.")
    by_id = sorted(runs, key=server_id)
    return [list(group) for _, group in groupby(by_id, key=server_id)]


def server_id(run: RunRecord) -> str:
    """Return a run's id on the server."""
    return run.id.removesuffix(OFFLINE_SUFFIX)


def push(
    runs: Sequence[RunRecord], api: WandbApi, entity: str, timeout: float
) -> Iterator[Account]:
    """Push what has not arrived of one run, folder by folder.

    A folder of which some rows have arrived, from an online run that lost its server, is
    completed: the others alone are pushed. Where a run has several folders and one has arrived
    in part, nobody knows which rows the server has, and nothing is pushed.

    Args:
        runs: The run's folders, by time.
        api: The server.
        entity: User or team.
        timeout: Of one folder's push, in seconds.

    Yields:
        An account of each folder.

    Raises:
        UserError: If the server does not answer.
    """
    run_id, project = server_id(runs[0]), runs[0].project
    found = api.rows(entity, project, run_id)
    arrived, due = found or 0, 0
    for run in runs:
        before, due = due, due + run.rows
        if found is not None and arrived >= due:
            surplus = arrived - due if run is runs[-1] else 0
            yield _there(run, surplus)
            continue
        if arrived < before or (arrived > before and len(runs) > 1):
            yield _held_back(run, max(0, arrived - before))
            continue
        error = _sync(run, arrived - before, entity, timeout)
        arrived = _count(api, (entity, project, run_id), 0 if error else due)
        found = arrived
        yield _pushed(run, arrived - before, error)


def missing_rows(runs: Sequence[RunRecord], directory: Path) -> Missing | None:
    """Compare a run's W&B files with its JSON Lines; None if nothing is missing."""
    truth = directory / server_id(runs[0]) / FILENAME
    if not truth.is_file():
        return None
    steps = {row["step"] for row in read_jsonl(truth).history}
    missing = steps - {row["step"] for run in runs for row in run.history}
    return Missing(server_id(runs[0]), len(steps), len(missing)) if missing else None


def _time(path: Path) -> str:
    return path.parent.name.removeprefix("offline-")


def _there(run: RunRecord, surplus: int) -> Account:
    folder, run_id = run.path.parent, server_id(run)
    if surplus:
        note = f"the server has {surplus} rows more than all folders of this run"
        return Account(folder, run_id, run.rows, run.rows + surplus, "short", note)
    if run.damaged:
        return Account(folder, run_id, run.rows, run.rows, "torn", _TORN)
    return Account(folder, run_id, run.rows, run.rows, "there")


def _held_back(run: RunRecord, arrived: int) -> Account:
    note = "this run has arrived in part: delete it on the server and sync again"
    return Account(run.path.parent, server_id(run), run.rows, arrived, "held back", note)


def _pushed(run: RunRecord, arrived: int, error: str) -> Account:
    state: State = "pushed"
    if arrived != run.rows:
        state, error = ("failed" if error else "short"), error or "not every row arrived"
    elif run.damaged:
        state, error = "torn", _TORN
    elif error:
        state = "failed"
    return Account(run.path.parent, server_id(run), run.rows, arrived, state, error)


_TORN = "the file is torn; its whole rows are on the server, run.jsonl has everything"


def _sync(run: RunRecord, skipped: int, entity: str, timeout: float) -> str:
    """Push a folder, without the history's first rows; returns what went wrong, if anything."""
    source = run.path
    if skipped:
        source = run.path.with_name(f"rest-{run.path.name}")
        write_rest(run.path, source, skipped)
    words = ["sync", "--include-online", "--include-synced", "--id", server_id(run)]
    # Its logs, too, would else lie where the command was called.
    env = {**os.environ, **RETRIES, "WANDB_DIR": str(run.path.parents[2])}
    words += ["--entity", entity, "--project", run.project, str(source)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, no shell
            [sys.executable, "-m", "wandb", *words],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return f"`wandb sync` took more than {timeout:.0f} s"
    finally:
        # `wandb sync` leaves marks of its own beside the file.
        for left in source.parent.glob(f"rest-{run.path.name}*"):
            left.unlink()
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
    if done.returncode or errors:
        last = (errors or done.stderr.splitlines() or [""])[-1]
        return f"`wandb sync` ended with {done.returncode}: {last.strip()}"
    return ""


def _count(api: WandbApi, run: tuple[str, str, str], due: int) -> int:
    deadline = time.monotonic() + COUNT_SECONDS
    while True:
        arrived = api.rows(*run) or 0
        if arrived >= due or time.monotonic() > deadline:
            return arrived
        time.sleep(0.5)
