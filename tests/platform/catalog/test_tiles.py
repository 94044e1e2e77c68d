from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.pictures import open_mask, open_picture
from millsight.platform.catalog.sample import Sample
from millsight.platform.catalog.tiles import TileConfig, tile
from millsight.platform.errors import UserError


@pytest.fixture
def data(tmp_path):
    """Three pictures of 7 x 10: one with a mask in its lower right, one good, one unknown."""
    random = np.random.default_rng(0)
    samples = []
    for name in ("scratch", "good", "unknown"):
        uri = tmp_path / f"{name}.png"
        cv2.imwrite(str(uri), random.integers(0, 255, (7, 10, 3), dtype=np.uint8))
        samples.append(Sample(name, str(uri), "steel", "train", width=10, height=7))
    mask = np.zeros((7, 10), np.uint8)
    mask[4:, 6:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    samples[0] = replace(samples[0], label="scratch", mask_uri=str(tmp_path / "mask.png"))
    samples[1] = replace(samples[1], label="good")
    Catalog(tuple(samples)).write(tmp_path / "catalog.parquet")
    return str(tmp_path / "catalog.parquet")


def test_tiles_cover_the_picture_and_know_their_defects(data, tmp_path, capsys):
    config = TileConfig(data=data, workspace=str(tmp_path / "runs"))
    outcome = tile(config)
    tiles = load_data(outcome.artifact.path)
    assert len(tiles) == 8
    assert [sample.label for sample in tiles] == ["good"] * 3 + ["scratch"] + ["good"] * 4
    assert [sample.group for sample in tiles] == ["scratch"] * 4 + ["good"] * 4
    assert {(sample.category, sample.split) for sample in tiles} == {("steel", "train")}
    whole = open_picture(str(tmp_path / "scratch.png"))
    parts = [open_picture(sample.uri) for sample in tiles.samples[:4]]
    rows = np.hstack(parts[:2]), np.hstack(parts[2:])
    assert np.array_equal(np.vstack(rows), whole)
    last = tiles.samples[3]
    assert open_mask(last.mask_uri, (last.width, last.height)).sum() == 3 * 4
    assert "8 tiles" in capsys.readouterr().out
    assert tile(config).artifact.fingerprint == outcome.artifact.fingerprint


@pytest.mark.parametrize("cut", [{"rows": 1, "columns": 1}, {"rows": 0}, {"rows": 9, "columns": 9}])
def test_cuts_that_make_no_sense_are_refused(data, cut):
    with pytest.raises(UserError, match="--rows"):
        tile(TileConfig(data=data, **cut))


def test_tiles_by_boxes_keep_their_parts_and_are_good_without_one(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "steel.png"), picture)
    boxes = ((10.0, 5.0, 40.0, 15.0), (2.0, 2.0, 8.0, 8.0), (31.0, 18.0, 59.0, 30.0))
    names = ("crack", "pit", "dent")
    sample = Sample("a", str(tmp_path / "steel.png"), "steel", "train", None, "crack", width=60)
    boxed = replace(sample, height=40, boxes=boxes, box_labels=names)
    Catalog((boxed,)).write(tmp_path / "catalog.parquet")
    config = TileConfig(
        data=str(tmp_path / "catalog.parquet"), workspace=str(tmp_path / "runs"), by="boxes"
    )
    tiles = load_data(tile(config).artifact.path)
    assert [one.label for one in tiles] == ["crack", "crack", "good", "dent"]
    assert tiles.samples[0].boxes == ((10, 5, 30, 15), (2, 2, 8, 8))
    # Two pixels of the dent are a sliver; the crack is whole enough.
    assert tiles.samples[1].boxes == ((0, 5, 10, 15),)
    assert tiles.samples[3].boxes == ((1, 0, 29, 10),)
    assert {one.group for one in tiles} == {"a"}
    # OpenCV writes BGR.
    assert np.array_equal(open_picture(tiles.samples[2].uri), picture[20:, :30, ::-1])
