"""Stages that do to a replica what happens to replicas; importable in its process."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.stages import Stage, StageOutput


class TroubledStage(Stage):
    """Writes its process id; a sample's uri says what happens at it.

    Args:
        folder: Where ``full`` waits for a file ``room``, and ``once`` notes that it has been.
    """

    schema: ClassVar[pa.Schema] = pa.schema([("sample_id", pa.string()), ("pid", pa.int64())])

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def setup(self, device: str, weights: Mapping[str, np.ndarray]) -> None:
        assert device == "cpu"

    def load(self, batch: Sequence[Sample]) -> Sequence[Sample]:
        return batch

    def process(self, loaded: Any) -> StageOutput:
        for sample in loaded:
            self._happen(sample.uri)
        rows = {"sample_id": [one.id for one in loaded], "pid": [os.getpid()] * len(loaded)}
        return StageOutput(pa.table(rows, schema=self.schema))

    def _happen(self, what: str) -> None:
        note = self._folder / "died"
        if what == "deadly" or (what == "once" and not note.exists()):
            note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "full" and not (self._folder / "room").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        if what == "wrong":
            raise UserError("--spec.mode: wrong")
        if what == "bug":
            raise ZeroDivisionError("a bug")
