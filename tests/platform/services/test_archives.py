from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damaged_pictures import bomb, encode, flipped_png, steel

from millsight.platform.services.archives import ZipLimits, extract_zip
from millsight.platform.services.uploads import UploadError, open_uploaded_picture

Entry = tuple[zipfile.ZipInfo | str, bytes]


def packed(*entries: Entry, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def lying(size: int) -> bytes:
    """A member of 5,000 bytes that says it has ``size``, in both of its headers."""
    data = packed(("a.txt", b"x" * 5000))
    told, true = struct.pack("<I", size), struct.pack("<I", 5000)
    assert data.count(true) == 2
    return data.replace(true, told)


def encrypted() -> bytes:
    data = bytearray(packed(("a.txt", b"x")))
    data[data.find(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def renamed_inside() -> bytes:
    """The list of members and the member itself disagree about the name."""
    data = packed(("aaaaaaaaaaa.txt", b"x"))
    return data.replace(b"aaaaaaaaaaa.txt", b"../../../bb.txt", 1)


def overlapping() -> bytes:
    """Many members of the list are one and the same packed data."""
    data = packed(("0000.txt", np.random.default_rng(0).bytes(40_000)))
    start = data.find(b"PK\x01\x02")
    end = data.find(b"PK\x05\x06")
    entries = b"".join(data[start:end].replace(b"0000", f"{n:04}".encode()) for n in range(2000))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2000, 2000, len(entries), start, 0)
    return data[:start] + entries + tail


def many(count: int) -> bytes:
    """A list of ``count`` members that have no data."""
    entry = packed(("0000000.txt", b""))
    start, end = entry.find(b"PK\x01\x02"), entry.find(b"PK\x05\x06")
    entries = b"".join(
        entry[start:end].replace(b"0000000", f"{n:07}".encode()) for n in range(count)
    )
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entries), start, 0)
    return entry[:start] + entries + tail


NAMES = [
    "../a.txt", "a/../../b.txt", "/etc/a.txt", "\\a.txt", "..\\a.txt", "C:/a.txt", "c:a.txt",
    "a//b.txt", "./a.txt", "a/./b.txt", "~x\n.txt", "a\x1b[2J.txt", "CON.txt", "a/nul/b.txt",
    "a.txt.", "a /b.txt", "a?.txt", "x" * 300 + ".txt", "a/" * 9 + "b.txt", "a\u202etxt.txt",
    "file::simplecache::a.txt",
]  # fmt: skip
HOSTILE = [
    pytest.param(packed((name, b"x")), 422, id=f"name {n}") for n, name in enumerate(NAMES)
] + [
    pytest.param(packed((special("a.txt", stat.S_IFLNK), b"/etc/passwd")), 422, id="link"),
    pytest.param(packed((special("a.txt", stat.S_IFIFO), b"")), 422, id="pipe"),
    pytest.param(packed((special("a.txt", stat.S_IFCHR), b"")), 422, id="device"),
    pytest.param(packed(("A.txt", b"x"), ("a.txt", b"y")), 422, id="case"),
    pytest.param(packed(("\u00e9.txt", b"x"), ("e\u0301.txt", b"y")), 422, id="unicode form"),
    pytest.param(packed(("a.txt", b"x"), ("a.txt/b.txt", b"y")), 422, id="below a file"),
    pytest.param(packed(("a.sh", b"x")), 422, id="ending"),
    pytest.param(packed(("a", b"x")), 422, id="no ending"),
    pytest.param(packed(("a.zip", packed(("b.txt", b"x")))), 422, id="nested"),
    pytest.param(packed(("a.png", packed(("b.txt", b"x")))), 422, id="nested under a false name"),
    pytest.param(packed(("a.txt", b"x" * 99), method=zipfile.ZIP_LZMA), 422, id="method"),
    pytest.param(encrypted(), 422, id="encrypted"),
    pytest.param(lying(10), 422, id="longer than it says"),
    pytest.param(lying(6000), 422, id="shorter than it says"),
    pytest.param(renamed_inside(), 422, id="two names"),
    pytest.param(packed(("a.txt", b"x" * 9999))[:-30], 422, id="cut off"),
    pytest.param(b"", 422, id="empty"),
    pytest.param(b"PK\x05\x06" + bytes(17), 422, id="half an end"),
    pytest.param(packed(("a.txt", bytes(20_000_000))), 413, id="ratio"),
    pytest.param(overlapping(), 413, id="overlapping"),
    pytest.param(packed(*((f"{n}.txt", b"") for n in range(101))), 413, id="count"),
    pytest.param(many(50_000), 413, id="count that lies"),
    pytest.param(packed(*((f"{n}.txt", bytes(900_000)) for n in range(99))), 413, id="total"),
    pytest.param(packed(("a.txt", np.random.default_rng(0).bytes(3_000_000))), 413, id="one file"),
]


def beside(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(("data", "status"), HOSTILE)
def test_hostile_archives_leave_nothing_behind(tmp_path: Path, data: bytes, status: int) -> None:
    archive = tmp_path / "in.zip"
    archive.write_bytes(data)
    limits = ZipLimits(files=100, total_bytes=50_000_000, file_bytes=2_500_000)
    if status == 413 and b"0000.txt" in data:
        limits = ZipLimits(files=5000)
    with pytest.raises(UploadError) as refused:
        extract_zip(archive, tmp_path / "sub" / "out", limits)
    assert refused.value.status == status, refused.value.detail
    assert beside(tmp_path) == {"in.zip", "sub"}


def test_a_list_of_a_million_members_takes_no_memory(tmp_path: Path) -> None:
    archive = tmp_path / "in.zip"
    archive.write_bytes(many(1_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(UploadError):
            extract_zip(archive, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_a_good_archive_appears_whole(tmp_path: Path) -> None:
    archive = tmp_path / "in.zip"
    picture = encode(steel(), "PNG")
    blank = encode(steel().point(lambda value: 0), "BMP")
    archive.write_bytes(
        packed(
            ("masks/", b""),
            ("masks/Blank.BMP", blank),
            ("back\\slash.png", picture),
            ("größe.json", b"{}"),
            ("__MACOSX/masks/._Blank.BMP", b"litter"),
            (".DS_Store", b"litter"),
        )
    )
    names = extract_zip(archive, tmp_path / "out")
    expected = ["masks/Blank.BMP", "back/slash.png", "größe.json"]
    assert [str(path.relative_to(tmp_path / "out")) for path in names] == expected
    assert names[0].read_bytes() == blank
    assert open_uploaded_picture(names[1]).shape == (32, 48, 3)
    assert beside(tmp_path / "out") == {*expected, "masks", "back"}
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o111 == 0 for path in names)


def test_what_a_kill_left_is_cleared(tmp_path: Path) -> None:
    archive = tmp_path / "in.zip"
    archive.write_bytes(packed(("a.txt", b"x")))
    (tmp_path / ".out.tmp").mkdir()
    (tmp_path / ".out.tmp" / "a.txt").write_text("old")
    assert extract_zip(archive, tmp_path / "out")[0].read_text() == "x"
    assert beside(tmp_path) == {"in.zip", "out", "out/a.txt"}


def test_six_hundred_damaged_archives_are_refused_or_whole(tmp_path: Path) -> None:
    """Bytes flipped, cut out and doubled: an UploadError or files, and nothing elsewhere."""
    chance = np.random.default_rng(7)
    good = packed(("a/b.txt", b"steel " * 400), ("c.json", b"{}" * 90), ("d/e.png", bytes(900)))
    refused = left = 0
    for turn in range(600):
        data = bytearray(good)
        for _ in range(chance.integers(1, 5)):
            at = chance.integers(len(data))
            damage = chance.integers(3)
            if damage == 0:
                data[at] = chance.integers(256)
            elif damage == 1:
                del data[at : at + chance.integers(1, 41)]
            else:
                data[at:at] = data[at : at + chance.integers(1, 41)]
        (tmp_path / "in.zip").write_bytes(data)
        out = tmp_path / f"{turn}.d" / "out"
        try:
            paths = extract_zip(tmp_path / "in.zip", out)
        except UploadError as error:
            paths = []
            refused += error.status in {413, 422}
            left += len(beside(out.parent))
        assert all(path.is_relative_to(out) for path in paths)
    assert refused > 300
    assert left == 0
    assert all(path.name == "in.zip" or path.name.endswith(".d") for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.svg", lambda: b"<svg/>", "is not a picture"),
        ("a.png", lambda: b"%!PS-Adobe", "PostScript"),
        ("a.png", bomb, "more than"),
        ("a.png", flipped_png, "corrupt"),
        ("a.png", lambda: b"", "empty"),
    ],
)
def test_pictures_that_are_refused(
    tmp_path: Path, name: str, make: Callable[[], bytes], reason: str
) -> None:
    (tmp_path / name).write_bytes(make())
    with pytest.raises(UploadError, match=reason):
        open_uploaded_picture(tmp_path / name)
