"""Zip archives from strangers, unpacked whole and in their place, or not at all."""

from __future__ import annotations

import io
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from millsight.platform.services.uploads import (
    PICTURE_SUFFIXES,
    UploadError,
    check_disk,
    full_disk,
)

CHUNK = 1 << 16
# A blank mask packs a thousandfold, which is no bomb while it is small.
RATIO_FROM_BYTES = 1 << 20
DIRECTORY_BYTES_PER_FILE = 256
MAX_NAME_BYTES = 240
MAX_DEPTH = 8
ENCRYPTED = 0x1
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
ARCHIVES = (
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
)
# What file managers add on their own.
LITTER = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
RESERVED = frozenset({"con", "prn", "aux", "nul"}) | {
    f"{n}{i}" for n in ("com", "lpt") for i in range(10)
}
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    ValueError,
    RuntimeError,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """What an archive may hold.

    Attributes:
        files: Most files.
        total_bytes: All files together, unpacked.
        file_bytes: One file, unpacked.
        ratio: Unpacked to packed size of a file beyond 1 MiB, and of the whole beyond it.
        suffixes: Allowed endings, lower case.
    """

    files: int = 20_000
    total_bytes: int = 4 << 30
    file_bytes: int = 256 << 20
    ratio: float = 200.0
    suffixes: frozenset[str] = PICTURE_SUFFIXES | {".json", ".csv", ".txt", ".npy", ".parquet"}


def extract_zip(archive: Path, folder: Path, limits: ZipLimits | None = None) -> list[Path]:
    """Unpack an archive into a new folder that appears whole or not at all.

    Args:
        archive: The zip file.
        folder: Must not exist yet; nothing outside it is ever written but a temporary folder
            beside it.
        limits: What it may hold.

    Returns:
        The files in the archive's order, less a file manager's litter.

    Raises:
        UploadError: 413 for size, count or ratio; 507 for a full disk; 422 for anything else wrong:
            names that are absolute, climb, are not portable, repeat (also by letter case or Unicode
            form) or lie below a file; links and devices; encryption; unusual packing; endings that
            are not allowed; an archive inside; sizes that lie; damage.
    """
    limits = limits or ZipLimits()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with archive.open("rb") as file:
            names = _extract(file, temporary, limits)
        temporary.rename(folder)
    except DAMAGE as error:
        raise UploadError(f"The zip archive is damaged: {error}") from None
    except OSError as error:
        raise full_disk(error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [folder / name for name in names]


def _extract(file: BinaryIO, folder: Path, limits: ZipLimits) -> list[PurePosixPath]:
    with zipfile.ZipFile(_ShortReads(file, limits.files * DIRECTORY_BYTES_PER_FILE)) as archive:
        infos = archive.infolist()
        _check_sizes(infos, file.seek(0, io.SEEK_END), limits)
        members = _check_members(infos, limits)
        check_disk(folder.parent, sum(info.file_size for _, info in members))
        folder.mkdir()
        for name, info in members:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(archive, info, path)
    return [name for name, _ in members]


class _ShortReads(io.BufferedIOBase):
    """A file that refuses a long read: zipfile reads the whole list of members in one."""

    def __init__(self, file: BinaryIO, longest: int) -> None:
        self._file = file
        self._longest = max(longest, 2 * CHUNK)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._longest:
            raise UploadError("Too many files in the zip.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return self._file.read(self._longest if size is None or size < 0 else size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError:
            raise zipfile.BadZipFile("a place before its beginning") from None

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _check_members(
    infos: list[zipfile.ZipInfo], limits: ZipLimits
) -> list[tuple[PurePosixPath, zipfile.ZipInfo]]:
    members, files, folders = [], set[str](), set[str]()
    for info in infos:
        name = _safe_name(info)
        _check_kind(info)
        folded = unicodedata.normalize("NFKC", str(name)).casefold()
        above = {str(parent) for parent in PurePosixPath(folded).parents}
        if info.is_dir():
            folders |= {folded} | above
            continue
        if folded in files:
            raise UploadError(f"{info.filename!r} is in the zip twice, perhaps in other letters.")
        files.add(folded)
        folders |= above
        if name.name.lower() in LITTER or name.parts[0] == "__MACOSX":
            continue
        if name.suffix.lower() not in limits.suffixes:
            allowed = ", ".join(sorted(limits.suffixes))
            raise UploadError(f"{info.filename!r} has none of the allowed endings: {allowed}")
        members.append((name, info))
    if clash := files & folders:
        raise UploadError(f"{min(clash)!r} is both a file and a folder in the zip.")
    return members


def _check_sizes(infos: list[zipfile.ZipInfo], packed: int, limits: ZipLimits) -> None:
    """Judge the declared sizes, against the archive's own: members may share packed data."""
    unpacked = sum(info.file_size for info in infos)
    largest = max((info.file_size for info in infos), default=0)
    steepest = max((_ratio(info.file_size, info.compress_size) for info in infos), default=0)
    for what, value, most in (
        ("files", len(infos), limits.files),
        ("bytes unpacked", unpacked, limits.total_bytes),
        ("bytes in one file", largest, limits.file_bytes),
        ("times its packed size", max(steepest, _ratio(unpacked, packed)), limits.ratio),
    ):
        if value > most:
            raise UploadError(
                f"The zip holds {value:,.0f} {what}; at most {most:,.0f}.",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )


def _ratio(unpacked: int, packed: int) -> float:
    return unpacked / max(packed, 1) if unpacked > RATIO_FROM_BYTES else 0


def _safe_name(info: zipfile.ZipInfo) -> PurePosixPath:
    text = info.filename.replace("\\", "/").removesuffix("/")
    parts = text.split("/")
    if (
        not text.isprintable()
        or len(text.encode()) > MAX_NAME_BYTES
        or len(parts) > MAX_DEPTH
        or any(
            part in {"", ".", ".."} or part != part.strip(" ") or part[-1] == "." for part in parts
        )
        or any(part.split(".")[0].lower() in RESERVED for part in parts)
        or set(text) & set(':*?"<>|')
    ):
        raise UploadError(f"{info.filename[:MAX_NAME_BYTES]!r} is not a name the service unpacks.")
    return PurePosixPath(text)


def _check_kind(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG}:
        raise UploadError(f"{info.filename!r} is a link or a device.")
    if info.flag_bits & ENCRYPTED or info.compress_type not in METHODS:
        raise UploadError(f"{info.filename!r} is encrypted or not packed by deflate.")


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Unpack one file; its declared size, which was judged, is also the most that is written."""
    with archive.open(info) as packed, path.open("xb") as file:
        part = packed.read(CHUNK)
        if part.startswith(ARCHIVES):
            raise UploadError(f"{info.filename!r} is an archive itself.")
        while part:
            file.write(part)
            part = packed.read(CHUNK)
        if file.tell() != info.file_size:
            raise UploadError(f"{info.filename!r} is shorter than the zip says.")
