from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from millsight.evaluation import anomaly_maps
from millsight.evaluation.anomaly_maps import AnomalyMap, from_table, read_maps, to_table
from millsight.platform import storage
from millsight.platform.artifacts import Artifact
from millsight.platform.errors import UserError


def make_map(number: int, shape: tuple[int, int] = (3, 5)) -> AnomalyMap:
    grid = np.random.default_rng(number).normal(size=shape).astype(np.float16)
    class_score = None if number % 2 else 0.25
    return AnomalyMap(f"{number}", f"{number}.png", "steel", number / 7, class_score, 50, 31, grid)


def assert_equal(first: AnomalyMap, second: AnomalyMap) -> None:
    for name in ("sample_id", "uri", "category", "class_score", "width", "height"):
        assert getattr(first, name) == getattr(second, name)
    assert np.float32(first.score) == np.float32(second.score)
    assert first.grid.dtype == second.grid.dtype == np.float16
    assert np.array_equal(first.grid, second.grid)


def test_packed_maps_come_back_bit_for_bit():
    maps = [make_map(0), make_map(1, (7, 2)), make_map(2)]
    table = to_table(maps)
    assert table.schema == anomaly_maps.SCHEMA
    for before, after in zip(maps, from_table(table), strict=True):
        assert_equal(before, after)
    assert to_table([]).num_rows == 0


@pytest.mark.parametrize("place", ["local", "memory"])
def test_maps_are_read_in_order_and_in_pieces(tmp_path, monkeypatch, place):
    monkeypatch.setattr(anomaly_maps, "ROWS_AT_ONCE", 4)
    artifact = Artifact(str(tmp_path) if place == "local" else "memory://maps-test", {})
    maps = [make_map(number) for number in range(11)]
    storage.write_table(artifact.file(anomaly_maps.FILE), to_table(maps))
    for before, after in zip(maps, read_maps(artifact), strict=True):
        assert_equal(before, after)


@pytest.mark.parametrize(("height", "width"), [(31, 50), (3, 5), (2, 3), (64, 64)])
def test_upsampling_is_bilinear_between_cell_centres(height, width):
    item = make_map(3)
    grid = torch.from_numpy(item.grid.astype(np.float32))[None, None]
    expected = torch.nn.functional.interpolate(
        grid, (height, width), mode="bilinear", align_corners=False
    )
    assert np.allclose(item.upsample(height, width), expected[0, 0], atol=1e-5)
    assert item.upsample().shape == (31, 50)


def test_a_lost_damaged_or_other_file_is_one_message(tmp_path):
    artifact = Artifact(str(tmp_path), {})
    file = tmp_path / anomaly_maps.FILE
    said = r"maps\.parquet holds no readable maps \(.*millsight extract"
    with pytest.raises(UserError, match=said):
        list(read_maps(artifact))
    storage.write_table(file, to_table([make_map(number) for number in range(11)]))
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(UserError, match=said):
        list(read_maps(artifact))
    storage.write_table(file, pa.table({"sample_id": ["1"]}))
    with pytest.raises(UserError, match=said):
        list(read_maps(artifact))
