"""The truth about a run: one JSON object per line, flushed line by line."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from millsight.platform.artifacts import library_versions
from millsight.platform.fingerprints import to_json
from millsight.platform.tracking import reader
from millsight.platform.tracking.picture_files import PictureFiles
from millsight.platform.tracking.tracker import RunInfo, Status
from millsight.platform.tracking.values import (
    Curve,
    Overlay,
    Picture,
    Row,
    Scalar,
    capped,
    thinned,
)


class JsonlTracker:
    """Appends to ``DIRECTORY/RUN_ID/run.jsonl``, with pictures beside it.

    Every line is an object with ``type`` and ``time`` (Unix seconds): ``run`` (header: name,
    fingerprint, group, tags, config, host, versions), ``log`` (``step``, ``metrics``),
    ``pictures`` (``name``, ``step``, ``files`` by caption), ``table`` (``name``, ``rows``,
    ``left_out``: how many rows the cap cost), ``curve`` (``name``, ``points``: columns, x first),
    ``summary`` (``metrics``) and ``end`` (``status``, ``seconds``). A picture under masks is an
    object: ``picture`` and ``masks``, files, and ``classes``. Going on with a run appends another
    header. NaN and infinities are written as the strings ``NaN``, ``Infinity`` and
    ``-Infinity``, since JSON has no numbers for them.

    Attributes:
        path: The file.
        next_step: Step of the next ``log`` that names none.
    """

    def __init__(self, directory: Path, run: RunInfo) -> None:
        self.folder = directory / run.id
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / reader.FILENAME
        self._pictures = PictureFiles(self.folder)
        self._started = time.time()
        self.next_step = _next_step(self.path)
        torn = self.path.exists() and not _ends_whole(self.path)
        self._file = self.path.open("a", encoding="utf-8")
        if torn:
            # A killed run's half line stays alone on its line, so that it spoils no other.
            self._file.write("\n")
        self._write("run", **_header(run))

    def log(self, metrics: Mapping[str, Scalar], step: int | None = None) -> None:
        """See ``Tracker.log``."""
        self._write("log", step=self._step(step), metrics=_plain(metrics))

    def log_pictures(
        self, name: str, pictures: Mapping[str, Picture | Overlay], step: int | None = None
    ) -> None:
        """See ``Tracker.log_pictures``; copies them to ``pictures/``."""
        at = self.next_step if step is None else step
        files = {
            caption: self._pictures.keep(f"{name}-{at:06d}-{index:03d}", picture)
            for index, (caption, picture) in enumerate(pictures.items())
        }
        self._write("pictures", name=name, step=at, files=files)

    def table(self, name: str, rows: Sequence[Row]) -> None:
        """See ``Tracker.table``; copies its pictures to ``pictures/``."""
        kept = capped(rows)
        plain = [self._cells(f"{name}-{index:03d}", row) for index, row in enumerate(kept)]
        self._write("table", name=name, rows=plain, left_out=len(rows) - len(kept))

    def curve(self, name: str, points: Curve) -> None:
        """See ``Tracker.curve``."""
        self._write("curve", name=name, points=_finite(thinned(points)))

    def summary(self, metrics: Mapping[str, Scalar]) -> None:
        """See ``Tracker.summary``."""
        self._write("summary", metrics=_plain(metrics))

    def finish(self, status: Status = "finished") -> None:
        """See ``Tracker.finish``."""
        self._write("end", status=status, seconds=round(time.time() - self._started, 3))
        os.fsync(self._file.fileno())
        self._file.close()

    def _cells(self, stem: str, row: Row) -> dict[str, Any]:
        return {
            column: self._pictures.keep(f"{stem}-{column}", cell)
            if isinstance(cell, Overlay)
            else _finite(to_json(cell))
            for column, cell in row.items()
        }

    def _step(self, step: int | None) -> int:
        at = self.next_step if step is None else step
        self.next_step = at + 1
        return at

    def _write(self, kind: str, **content: Any) -> None:
        record = {"type": kind, "time": round(time.time(), 3), **content}
        self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()


def _header(run: RunInfo) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "fingerprint": run.fingerprint,
        "group": run.group,
        "tags": list(run.tags),
        "config": _finite(to_json(run.config)),
        "host": {
            "name": socket.gethostname(),
            "process": os.getpid(),
            "cpus": os.cpu_count(),
        },
        "versions": library_versions(),
    }


def _plain(metrics: Mapping[str, Scalar]) -> dict[str, Any]:
    plain: dict[str, Any] = _finite(to_json(metrics))
    return plain


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _next_step(path: Path) -> int:
    if not path.exists():
        return 0
    return max((row["step"] for row in reader.read_jsonl(path).history), default=-1) + 1
