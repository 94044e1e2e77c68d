"""The mark of pictures that are no photographs, from the file to the split."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import damaged_pictures as damaged
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from millsight.platform import storage
from millsight.platform.catalog.catalog import Catalog, load_data, read_folder
from millsight.platform.catalog.commands import ConvertConfig, SplitConfig, convert, split
from millsight.platform.catalog.pictures import decode_picture
from millsight.platform.catalog.sample import SCHEMA
from millsight.platform.catalog.synthetic import (
    COMPOSED,
    EDITED,
    GENERATED,
    RENDERED,
    find_mark,
    mark_png,
)
from millsight.platform.catalog.tiles import TileConfig, tile
from millsight.platform.errors import UserError

SOURCES = (RENDERED, COMPOSED, EDITED, GENERATED)


def png(seed: int) -> bytes:
    picture = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """Two good pictures and two pits with masks, all marked; the masks are not."""
    folder = tmp_path / "set"
    for index, label in enumerate(("good", "good", "pit", "pit")):
        path = folder / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mark_png(png(index), COMPOSED))
    mask = np.zeros((24, 32), np.uint8)
    mask[4:9, 4:9] = 255
    for index in (2, 3):
        path = folder / "masks" / "pit" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    return folder


@pytest.mark.parametrize("source", SOURCES)
def test_the_mark_is_xmp_that_pillow_checks_and_leaves_the_pixels(source: str) -> None:
    plain = png(0)
    data = mark_png(plain, source)
    assert (find_mark(plain), find_mark(data)) == (None, source)
    assert np.array_equal(decode_picture(data), decode_picture(plain))
    Image.open(io.BytesIO(data)).verify()
    packet = ET.fromstring(Image.open(io.BytesIO(data)).info["XML:com.adobe.xmp"])  # noqa: S314
    values = [value for node in packet.iter() for value in node.attrib.values()]
    assert f"http://cv.iptc.org/newscodes/digitalsourcetype/{source}" in values


def test_other_tools_marks_count_in_other_formats_and_photographs_stay_photographs() -> None:
    picture = damaged.steel(seed=0).convert("RGB")
    address = "http://cv.iptc.org/newscodes/digitalsourcetype/"
    for name, expected in ((GENERATED, GENERATED), ("digitalCapture", None)):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", xmp=f"<x>{address}{name}</x>".encode())
        assert find_mark(buffer.getvalue()) == expected


def test_the_mark_stays_through_convert_parquet_split_and_tiles(
    marked: Path, tmp_path: Path
) -> None:
    home = str(tmp_path / "runs")
    converted = convert(ConvertConfig(data=str(marked), workspace=home)).artifact
    divided = split(SplitConfig(data=converted.path, workspace=home)).artifact
    tiles = tile(TileConfig(data=divided.path, workspace=home)).artifact
    for path, count in ((converted.path, 4), (divided.path, 4), (tiles.path, 16)):
        catalog = load_data(path)
        assert [sample.synthetic for sample in catalog] == [COMPOSED] * count
        assert catalog.summary()["synthetic"] == {COMPOSED: count}
    # The folder alone says it too.
    loose = read_folder(f"{tiles.path}/pictures", "folder")
    assert {sample.synthetic for sample in loose} == {COMPOSED}


def test_generated_pictures_among_photographs_are_not_divided(marked: Path) -> None:
    (marked / "good" / "0.png").write_bytes(png(0))
    with pytest.raises(UserError, match=r"3 of 4 pictures are no photographs, the first is .*1\.p"):
        split(SplitConfig(data=str(marked), workspace=str(marked.parent / "runs")))


def test_catalogs_from_before_the_mark_are_read_and_keep_their_fingerprint(
    marked: Path, tmp_path: Path
) -> None:
    catalog = read_folder(marked)
    photographs = catalog.with_samples(replace(item, synthetic=None) for item in catalog)
    assert photographs.fingerprint != catalog.fingerprint
    photographs.write(tmp_path / "new.parquet")
    table = storage.read_table(tmp_path / "new.parquet").drop_columns(["synthetic"])
    metadata = {**table.schema.metadata, b"millsight.schema_version": b"1"}
    storage.write_table(tmp_path / "old.parquet", table.replace_schema_metadata(metadata))
    assert isinstance(table, pa.Table)
    assert "synthetic" in SCHEMA.names
    old = Catalog.read(tmp_path / "old.parquet")
    assert old.samples == photographs.samples
    assert old.fingerprint == photographs.fingerprint
