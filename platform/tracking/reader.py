"""Reads tracked runs back, from JSON Lines and from W&B's own run files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from millsight.platform.errors import UserError
from millsight.platform.tracking.picture_files import read_picture
from millsight.platform.tracking.values import Overlay

FILENAME = "run.jsonl"
NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass
class RunRecord:
    """One run as it was tracked.

    Attributes:
        path: The file it was read from.
        source: Which tracker wrote it.
        id: The run's id.
        name: The stage.
        fingerprint: Of the artifact it made; empty where the file does not say.
        group: The recipe.
        status: ``"finished"``, ``"failed"``, ``"stopped"``, or ``"unfinished"`` for a run that
            was killed or still goes on.
        config: Its configuration.
        history: One row per step, ``step`` and the metrics; where a resumed run logged a step
            again, the later values count.
        summary: Headline numbers.
        rows: How many times it logged a row of history; a step logged twice counts twice.
        tables: Rows by name (JSON Lines only); pictures in them are ``Overlay`` of files.
        curves: Columns by name (JSON Lines only), x first.
        pictures: Picture files by name and caption (JSON Lines only), the latest step.
        project: W&B project (W&B only).
        damaged: Lines or records that could not be read: a killed run leaves one.
    """

    path: Path
    source: Literal["jsonl", "wandb"]
    id: str = ""
    name: str = ""
    fingerprint: str = ""
    group: str | None = None
    status: str = "unfinished"
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    pictures: dict[str, dict[str, Path | Overlay]] = field(default_factory=dict)
    project: str = ""
    damaged: int = 0


def read_runs(directory: str | Path) -> list[RunRecord]:
    """Read every run under a tracking directory, JSON Lines first, by path.

    Raises:
        UserError: If there is no such directory.
    """
    from millsight.platform.tracking.wandb_file import read_wandb

    root = Path(directory)
    if not root.is_dir():
        raise UserError(f"{root}: no such tracking directory.")
    jsonl = [read_jsonl(path) for path in sorted(root.rglob(FILENAME))]
    wandb = [read_wandb(path) for path in sorted(root.rglob("run-*.wandb"))]
    # A run that could not be opened leaves a W&B file without a run in it.
    return jsonl + [run for run in wandb if run.id]


def read_jsonl(path: Path) -> RunRecord:
    """Read one ``run.jsonl``; half lines are counted in ``damaged`` and left out."""
    run = RunRecord(path, "jsonl")
    rows: dict[int, dict[str, Any]] = {}
    for record in _records(run):
        match record["type"]:
            case "run":
                run.id, run.name = record["id"], record["name"]
                run.fingerprint, run.group = record["fingerprint"], record["group"]
                run.config, run.status = record["config"], "unfinished"
            case "log":
                row = rows.setdefault(record["step"], {"step": record["step"]})
                row |= _numbers(record["metrics"])
                run.rows += 1
            case "pictures":
                files = record["files"].items()
                run.pictures[record["name"]] = {c: read_picture(path.parent, f) for c, f in files}
            case "table":
                run.tables[record["name"]] = [_cells(path.parent, row) for row in record["rows"]]
            case "curve":
                run.curves[record["name"]] = {
                    column: [NOT_FINITE.get(value, value) for value in values]
                    for column, values in record["points"].items()
                }
            case "summary":
                run.summary |= _numbers(record["metrics"])
            case "end":
                run.status = record["status"]
    run.history = [rows[step] for step in sorted(rows)]
    return run


def _records(run: RunRecord) -> Iterator[dict[str, Any]]:
    with run.path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                run.damaged += 1
                continue
            yield record


def _numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        key: NOT_FINITE.get(value, value) if isinstance(value, str) else value
        for key, value in metrics.items()
    }


def _cells(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    return _numbers(
        {
            column: read_picture(folder, cell) if isinstance(cell, dict) else cell
            for column, cell in row.items()
        }
    )
