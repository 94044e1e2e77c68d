"""An evaluation on disk, whole enough to be compared with another's without judging again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from millsight.evaluation.metrics import BootstrapConfig, Estimate
from millsight.evaluation.metrics.results import Row
from millsight.evaluation.results.evaluating import ResultEvaluation
from millsight.platform import storage

NUMBERS, REPLICATES = "numbers.json", "replicates.npz"


def save_evaluation(folder: Path, evaluation: ResultEvaluation) -> None:
    """Write every row's numbers, and their values on every resample.

    Args:
        folder: Exists; gets ``numbers.json`` and ``replicates.npz``.
        evaluation: Judged in this process.
    """
    arrays: dict[str, Any] = {}
    tasks = {}
    for task, judged in evaluation.tasks().items():
        rows = {}
        for name, row in judged.rows().items():
            key = f"a{len(arrays)}"
            drawn = list(row.replicates)
            stacked = [np.asarray(row.replicates[metric], np.float64) for metric in drawn]
            arrays[key] = np.stack(stacked) if stacked else np.zeros((0, 0))
            values = {metric: getattr(row, metric).to_dict() for metric in drawn}
            pixels = getattr(row, "n_pixels", 0)
            rows[name] = {"array": key, "values": values, "n_pixels": pixels}
        tasks[task] = {
            "truth": judged.truth,
            "bootstrap": asdict(judged.bootstrap),
            "rows": rows,
        }
    storage.write_bytes(folder / NUMBERS, json.dumps(tasks).encode())
    with storage.writing(folder / REPLICATES) as file:
        np.savez(file, **arrays)


def load_evaluation(folder: Path) -> ResultEvaluation:
    """Read what ``save_evaluation`` wrote; replicates are read when they are asked for.

    What comes back serves ``compare_results``, ``headline`` and ``main_rows``.
    """
    content = json.loads((folder / NUMBERS).read_bytes())
    tasks: dict[str, Any] = {
        name: _StoredTask(
            BootstrapConfig(**task["bootstrap"]), task["truth"], folder / REPLICATES, task["rows"]
        )
        for name, task in content.items()
    }
    return ResultEvaluation(**tasks)


@dataclass(frozen=True)
class _StoredTask:
    """Stands in for a task's evaluation."""

    bootstrap: BootstrapConfig
    truth: int
    archive: Path
    content: Mapping[str, Any]

    def rows(self) -> dict[str, Row]:
        return {name: self._row(row) for name, row in self.content.items()}

    def _row(self, row: Mapping[str, Any]) -> Row:
        values = {name: _estimate(value) for name, value in row["values"].items()}
        drawn = _Drawn(self.archive, row["array"], list(values))
        return _StoredRow({**values, "n_pixels": row["n_pixels"]}, drawn)


class _Drawn(dict[str, Any]):
    """A row's replicates, read from the archive at the first look."""

    def __init__(self, archive: Path, key: str, names: list[str]) -> None:
        super().__init__(dict.fromkeys(names))
        self._place = archive, key

    @cached_property
    def _read(self) -> dict[str, Any]:
        archive, key = self._place
        with np.load(archive) as arrays:
            return dict(zip(self, arrays[key], strict=True))

    def __getitem__(self, name: str) -> Any:
        return self._read[name]

    def items(self) -> Any:
        return self._read.items()


class _StoredRow(Row):
    """Stands in for a row: its numbers are looked up instead of being fields."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any], replicates: dict[str, Any]) -> None:
        super().__init__(replicates=replicates)
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        try:
            return object.__getattribute__(self, "_values")[name]
        except KeyError:
            raise AttributeError(name) from None


def _estimate(value: Mapping[str, Any]) -> Estimate:
    nan = float("nan")
    numbers: dict[str, Any] = {name: nan if part is None else part for name, part in value.items()}
    return Estimate(**numbers)
