from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest

from millsight.platform import storage


@pytest.fixture(params=["local", "file", "memory"])
def place(request, tmp_path) -> str:
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    return str(tmp_path) if request.param == "local" else f"file://{tmp_path}"


def files(place: str) -> list[str]:
    fs, path = storage.filesystem(place)
    return sorted(str(name).removeprefix(path).lstrip("/") for name in fs.find(path))


def test_what_is_written_is_read(place):
    storage.write_bytes(f"{place}/deep/a", b"old")
    storage.write_bytes(f"{place}/deep/a", b"new")
    assert storage.read_bytes(f"{place}/deep/a") == b"new"
    assert files(place) == ["deep/a"]
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{place}/b")


def test_a_write_that_fails_leaves_the_old_and_no_trace(place):
    storage.write_bytes(f"{place}/a", b"old")

    def fail() -> None:
        with storage.writing(f"{place}/a") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert storage.read_bytes(f"{place}/a") == b"old"
    assert files(place) == ["a"]


def test_equal_tables_give_equal_bytes_however_they_are_chunked(place):
    noise = np.random.default_rng(0)
    column = [noise.bytes(500) for _ in range(6000)]
    whole = pa.table({"a": column}, metadata={"k": "v"})
    pieces = pa.concat_tables([whole.slice(start, 100) for start in range(0, 6000, 100)])
    storage.write_table(f"{place}/whole", whole)
    storage.write_table(f"{place}/pieces", pieces)
    assert storage.read_bytes(f"{place}/whole") == storage.read_bytes(f"{place}/pieces")
    read = storage.read_table(f"{place}/pieces")
    assert read.equals(whole)
    assert read.schema.metadata == {b"k": b"v"}
