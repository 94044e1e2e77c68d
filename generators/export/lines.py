"""Text that is written line by line and shows up whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from millsight.platform import storage


class Lines:
    """JSON values, one a line, on this machine's disk until they are copied.

    A set may have a million samples: they are never all in memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def add(self, value: Any) -> None:
        """Append one value."""
        self._file.write(json.dumps(value, sort_keys=True, allow_nan=False).encode() + b"\n")
        self.count += 1

    def read(self) -> Iterator[Any]:
        """Yield the values again."""
        self._file.seek(0)
        yield from map(json.loads, self._file)

    def copy(self, target: BinaryIO) -> None:
        """Append everything to another file, as it is."""
        self._file.seek(0)
        shutil.copyfileobj(self._file, target)

    def copy_list(self, target: BinaryIO) -> None:
        """Append everything to another file as the inside of a JSON list."""
        self._file.seek(0)
        for number, line in enumerate(self._file):
            target.write((b",\n" if number else b"") + line.rstrip(b"\n"))


@contextmanager
def lines() -> Iterator[Lines]:
    """Open lines that go when the block is left."""
    with tempfile.TemporaryFile() as file:
        yield Lines(file)


def write_lines(url: str, found: Lines) -> None:
    """Write JSON Lines atomically."""
    with storage.writing(url) as file:
        found.copy(file)
