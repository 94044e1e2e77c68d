"""Files from clients: received without filling memory, pictures opened without trust."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import anyio.to_thread
import numpy as np

from millsight.platform.catalog.pictures import PictureError, decode_picture
from millsight.platform.services.problems import ProblemError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_PICTURE_PIXELS = 50_000_000
KEPT_FREE_BYTES = 1 << 30
UNFINISHED = ".part"
STALE_S = 86_400


class UploadError(ProblemError):
    """An upload that is refused.

    Args:
        detail: What is wrong with it and where.
        status: 422 unless it is a matter of size.
    """

    def __init__(self, detail: str, status: int = HTTPStatus.UNPROCESSABLE_ENTITY) -> None:
        super().__init__(status, detail)


@dataclass(frozen=True, slots=True)
class SavedUpload:
    """A request body on disk.

    Attributes:
        path: Where.
        sha256: 64 hex digits; put it into the job's request, so that idempotency sees the content.
        size: Bytes.
    """

    path: Path
    sha256: str
    size: int


async def save_body(stream: AsyncIterator[bytes], folder: Path) -> SavedUpload:
    """Write a request's raw body to a file named by its content.

    ``BodyLimit`` bounds its length. The same content sent twice is one file. A body that breaks off
    leaves nothing.

    Args:
        stream: ``request.stream()``.
        folder: Made if missing.

    Raises:
        ProblemError: 422 if it is empty, 507 if the disk has less than 1 GiB left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_disk(folder, 0)
    temporary = folder / f".{secrets.token_hex(8)}{UNFINISHED}"
    sha256, size = hashlib.sha256(), 0
    try:
        with temporary.open("xb") as file:
            async for part in stream:
                sha256.update(part)
                size += len(part)
                await anyio.to_thread.run_sync(file.write, part)
            await anyio.to_thread.run_sync(_sync, file.fileno())
        if not size:
            raise UploadError("The body is empty.")
        path = folder / sha256.hexdigest()
        temporary.replace(path)
    except OSError as error:
        raise full_disk(error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return SavedUpload(path, sha256.hexdigest(), size)


def open_uploaded_picture(path: Path, *, max_pixels: int = MAX_PICTURE_PIXELS) -> np.ndarray:
    """Decode a client's picture.

    Returns:
        Array of shape (H, W, 3), uint8, RGB, upright.

    Raises:
        UploadError: If the name's ending is not a picture's, or the content is none of the formats
            of ``platform/catalog/pictures.py``, damaged, or larger than ``max_pixels``.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UploadError(
            f"{path.name!r} is not a picture: use {', '.join(sorted(PICTURE_SUFFIXES))}"
        )
    try:
        return decode_picture(path.read_bytes(), max_pixels=max_pixels)
    except PictureError as error:
        raise UploadError(f"{path.name!r}: {error}") from None


def remove_stale(folder: Path) -> None:
    """Remove what uploads left behind that a kill broke off more than a day ago."""
    for path in folder.glob(f".*{UNFINISHED}"):
        if time.time() - path.stat().st_mtime > STALE_S:
            path.unlink(missing_ok=True)


def check_disk(folder: Path, needed: int) -> None:
    """Refuse with 507 what would leave less than 1 GiB of the disk free.

    Args:
        folder: Exists, on the disk in question.
        needed: Bytes about to be written.
    """
    if shutil.disk_usage(folder).free - needed < KEPT_FREE_BYTES:
        raise UploadError("The service's disk is full.", HTTPStatus.INSUFFICIENT_STORAGE)


def full_disk(error: OSError) -> Exception:
    """Turn a full disk into its refusal; any other error of the system stays what it is."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return UploadError("The service's disk is full.", HTTPStatus.INSUFFICIENT_STORAGE)
    return error


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)
