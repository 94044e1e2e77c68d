"""W&B's run file, as far as a reader needs it.

A ``.wandb`` file is a 7-byte header (``:W&B``, 0xBEE1, version) and then LevelDB log blocks of
32 KiB (github.com/google/leveldb, doc/log_format.md): chunks of CRC-32 over type and data (4
bytes, here the plain CRC of zlib), length (2), type (1), data. The records inside are protobuf
messages of ``wandb.proto``.
"""

from __future__ import annotations

import importlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from millsight.platform.errors import UserError
from millsight.platform.tracking.reader import RunRecord

BLOCK_BYTES = 32 * 1024
FILE_HEADER = struct.Struct("<4sHB")
CHUNK_HEADER = struct.Struct("<IHB")
MAGIC = (b":W&B", 0xBEE1)
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read_wandb(path: Path) -> RunRecord:
    """Read a run that W&B wrote, offline or online, up to where its file is whole.

    Raises:
        UserError: If it is no W&B run file.
    """
    # The module picks its classes by the installed protobuf, where type checkers cannot follow.
    protocol = importlib.import_module("wandb.proto.wandb_internal_pb2")
    run = RunRecord(path, "wandb")
    rows: dict[int, dict[str, Any]] = {}
    for data in _messages(run):
        record = protocol.Record()
        record.ParseFromString(data)
        match record.WhichOneof("record_type"):
            case "run":
                run.id, run.name = record.run.run_id, record.run.job_type
                run.group = record.run.run_group or None
                run.project = record.run.project
                run.config |= _values(record.run.config.update)
            case "config":
                run.config |= _values(record.config.update)
            case "history":
                row = _values(record.history.item)
                step = int(row.get("step", row["_step"]))
                rows.setdefault(step, {}).update(_public(row), step=step)
                run.rows += 1
            case "summary":
                run.summary |= _values(record.summary.update)
            case "exit":
                run.status = "failed" if record.exit.exit_code else "finished"
    run.history = [rows[step] for step in sorted(rows)]
    run.summary = _public(run.summary)
    run.config = _public(run.config)
    run.fingerprint = str(run.config.pop("fingerprint", ""))
    return run


def write_rest(source: Path, target: Path, skipped: int) -> None:
    """Copy a run's file without the first ``skipped`` rows of its history."""
    protocol = importlib.import_module("wandb.proto.wandb_internal_pb2")
    content = bytearray(FILE_HEADER.pack(*MAGIC, _version(source)))
    for data in _messages(RunRecord(source, "wandb")):
        record = protocol.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history" and skipped > 0:
            skipped -= 1
            continue
        _append(content, data)
    target.write_bytes(content)


def _version(path: Path) -> int:
    version: int = FILE_HEADER.unpack_from(path.read_bytes())[2]
    return version


def _append(content: bytearray, data: bytes) -> None:
    rest, begun = memoryview(data), False
    while True:
        left = BLOCK_BYTES - len(content) % BLOCK_BYTES - CHUNK_HEADER.size
        if left < 0:
            content += bytes(left + CHUNK_HEADER.size)
            continue
        chunk, rest = rest[:left], rest[left:]
        kind = (MIDDLE if rest else LAST) if begun else (FIRST if rest else FULL)
        checksum = zlib.crc32(chunk, zlib.crc32(bytes([kind])))
        content += CHUNK_HEADER.pack(checksum, len(chunk), kind) + chunk
        begun = True
        if not rest:
            return


def _messages(run: RunRecord) -> Iterator[bytes]:
    data = run.path.read_bytes()
    if len(data) < FILE_HEADER.size or FILE_HEADER.unpack_from(data)[:2] != MAGIC:
        raise UserError(f"{run.path}: not a W&B run file.")
    parts: list[bytes] = []
    for kind, chunk in _chunks(run, data):
        parts = [chunk] if kind in (FULL, FIRST) else [*parts, chunk]
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []
    if parts and not run.damaged:
        # Cut off between two chunks of a record, as by a writer that was killed after a block.
        run.damaged += 1


def _chunks(run: RunRecord, data: bytes) -> Iterator[tuple[int, bytes]]:
    position = FILE_HEADER.size
    while position + CHUNK_HEADER.size <= len(data):
        left = BLOCK_BYTES - position % BLOCK_BYTES
        if left < CHUNK_HEADER.size:
            position += left
            continue
        checksum, length, kind = CHUNK_HEADER.unpack_from(data, position)
        if kind == 0 and length == 0:
            return
        start = position + CHUNK_HEADER.size
        chunk = data[start : start + length]
        if len(chunk) < length or zlib.crc32(chunk, zlib.crc32(bytes([kind]))) != checksum:
            run.damaged += 1
            return
        yield kind, chunk
        position = start + length
    if 0 < len(data) - position < CHUNK_HEADER.size <= BLOCK_BYTES - position % BLOCK_BYTES:
        # Cut off within a header; fewer bytes at a block's own end are padding.
        run.damaged += 1


def _values(items: Iterable[Any]) -> dict[str, Any]:
    return {
        ".".join(item.nested_key) if item.nested_key else item.key: json.loads(item.value_json)
        for item in items
    }


def _public(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not key.startswith("_")}
