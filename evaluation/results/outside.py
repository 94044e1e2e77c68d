"""Reading files that other people's tools wrote: sizes bounded, every complaint names its place."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

from millsight.platform import storage
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input

MAX_BYTES = 512 << 20


def read_bounded(uri: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a whole file that is not larger than allowed.

    Raises:
        UserError: If it is missing, not a file, unreadable or too large.
    """
    fs, path = storage.filesystem(uri)
    try:
        # A named pipe would block for ever.
        if fs.info(path)["type"] != "file":
            raise UserError(f"{uri} is not a file.")
        with fs.open(path, "rb") as file:
            data: bytes = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise UserError(f"{uri}: no such file.") from None
    except OSError as error:
        raise UserError(f"{uri} cannot be read: {error.strerror or error}.") from None
    if len(data) > max_bytes:
        raise UserError(f"{uri} is larger than {max_bytes >> 20} MiB; split it into several runs.")
    return data


def absolute(uri: str) -> str:
    """Say where a file or folder is, so that a table that names it can be read from anywhere."""
    fs, path = storage.filesystem(uri)
    return path if storage.is_local(fs) else uri


def file_input(uri: str) -> Input:
    """Name a file as an artifact's input, by the SHA-256 of its bytes.

    Raises:
        UserError: As for :func:`read_bounded`.
    """
    return Input(hashlib.sha256(read_bounded(uri)).hexdigest(), uri)


def folder_input(folder: str, names: Iterable[str]) -> Input:
    """Name files of a folder as an artifact's input, by their names and bytes."""
    hashed = hashlib.sha256()
    for name in names:
        data = read_bounded(f"{folder.rstrip('/')}/{name}")
        hashed.update(f"{name}\0{len(data)}\0".encode(errors="replace") + data)
    return Input(hashed.hexdigest(), folder)


def read_json(uri: str) -> Any:
    """Read a JSON file.

    Raises:
        UserError: If it cannot be read or is not JSON.
    """
    try:
        return json.loads(read_bounded(uri))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{uri} is not valid JSON: {error}") from None


def number(value: object, what: str) -> float:
    """Return a finite number.

    Args:
        value: Whatever a file holds there; a text may spell a number.
        what: Names the place, for the message.

    Raises:
        UserError: If it is something else.
    """
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            found = float(value)
            if math.isfinite(found):
                return found
    except (ValueError, OverflowError):
        pass
    raise UserError(f"{what} is {str(value)[:40]!r}; it has to be a finite number.")
