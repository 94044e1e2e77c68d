"""Files on any fsspec filesystem, written whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq


def filesystem(url: str | Path) -> tuple[Any, str]:
    """Return the fsspec filesystem of ``url`` and the path within it."""
    fs, path = fsspec.core.url_to_fs(str(url))
    return fs, str(path)


def is_local(fs: Any) -> bool:
    """Say whether renames on ``fs`` are atomic, as on this machine's own disks."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def absolute(url: str | Path) -> str:
    """Return an address that means the same to processes in other directories."""
    fs, path = filesystem(url)
    return str(Path(path).resolve()) if is_local(fs) else str(url)


def read_bytes(url: str | Path) -> bytes:
    """Read a whole file.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    fs, path = filesystem(url)
    data: bytes = fs.cat_file(path)
    return data


@contextmanager
def writing(url: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing so that a reader sees the old content or the new, never a part.

    Local files are written under a temporary name beside the target, fsynced and renamed. An
    object store's put is atomic by itself.
    """
    fs, path = filesystem(url)
    if not is_local(fs):
        buffer = io.BytesIO()
        yield buffer
        fs.pipe_file(path, buffer.getvalue())
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(url: str | Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with writing(url) as file:
        file.write(data)


def write_table(url: str | Path, table: pa.Table) -> None:
    """Write a Parquet file atomically; equal tables give equal bytes."""
    with writing(url) as file:
        # Chunks would show in the pages, and so would the size of the shards that were merged.
        pq.write_table(table.combine_chunks(), file, compression="zstd")


def read_table(url: str | Path) -> pa.Table:
    """Read a Parquet file, metadata included."""
    return pq.read_table(io.BytesIO(read_bytes(url)))
