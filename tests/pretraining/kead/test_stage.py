from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from millsight.evaluation.anomaly_maps import SCHEMA, from_table
from millsight.platform.catalog.sample import Sample
from millsight.platform.shards import make_shards, run_shard
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.stage import KeADStage

CATEGORIES = ("steel_pipe", "line/a")


@pytest.fixture
def kead(weights: LoadedWeights, pictures: list[np.ndarray]) -> KeAD:
    kead = KeAD.load(KeADConfig(k=1), weights=weights)
    for category, picture in zip(CATEGORIES, pictures, strict=False):
        kead.learn(category, [picture])
    return kead


@pytest.fixture
def samples(pictures: list[np.ndarray], tmp_path: Path) -> list[Sample]:
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:200])
    return [
        Sample(str(i), str(tmp_path / f"{i}.png"), CATEGORIES[i % 2]) for i in range(len(pictures))
    ]


def test_round_trip_with_a_corrupt_picture(
    kead: KeAD, samples: list[Sample], pictures: list[np.ndarray]
) -> None:
    stage = KeADStage(kead, batch_size=4)
    travelled = pickle.loads(pickle.dumps(stage))  # noqa: S301
    travelled.setup("cpu", stage.weights())
    output = run_shard(travelled, make_shards(samples)[0])
    assert output.rows.schema == SCHEMA
    assert [item.sample_id for item in output.quarantined] == ["3"]
    assert output.quarantined[0].reason
    maps = list(from_table(output.rows))
    assert [item.sample_id for item in maps] == ["0", "1", "2", "4", "5"]
    for item in maps:
        i = int(item.sample_id)
        expected = kead.score([pictures[i]], CATEGORIES[i % 2])[0]
        assert item.category == CATEGORIES[i % 2]
        assert (item.height, item.width) == pictures[i].shape[:2]
        assert item.score == pytest.approx(expected.score, abs=1e-4)
        np.testing.assert_allclose(item.grid, expected.map, atol=2e-3)


def test_only_what_is_small_travels_with_the_stage(kead: KeAD) -> None:
    stage = KeADStage(kead)
    heavy = sum(array.nbytes for array in stage.weights().values())
    assert len(pickle.dumps(stage)) < 20_000 < heavy


def test_read_only_shared_arrays_are_used_in_place(kead: KeAD, samples: list[Sample]) -> None:
    stage = KeADStage(kead)
    weights = stage.weights()
    for array in weights.values():
        array.flags.writeable = False
    worker = pickle.loads(pickle.dumps(stage))  # noqa: S301
    worker.setup("cpu", weights)
    tensors = worker._ready().encoder.network.state_dict()
    for name, tensor in tensors.items():
        assert tensor.data_ptr() == weights[f"encoder/{name}"].ctypes.data
    assert len(run_shard(worker, make_shards(samples)[0]).rows) == 5


def test_a_batch_of_nothing_but_broken_files(kead: KeAD, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    output = run_shard(
        KeADStage(kead), make_shards([Sample("x", str(tmp_path / "x.png"), "steel_pipe")])[0]
    )
    assert len(output.rows) == 0
    assert len(output.quarantined) == 1


def test_vision_only_encoders_travel_too(samples: list[Sample], pictures: list[np.ndarray]) -> None:
    kead = KeAD.load(KeADConfig(encoder="embedded:efficientnet-lite0", k=1, image_size=64))
    for category in CATEGORIES:
        kead.learn(category, pictures[:1])
    stage = KeADStage(kead)
    worker = pickle.loads(pickle.dumps(stage))  # noqa: S301
    worker.setup("cpu", stage.weights())
    shard = make_shards(samples)[0]
    assert run_shard(worker, shard).rows.equals(run_shard(stage, shard).rows)
    assert not any(tensor.is_meta for tensor in worker._ready().encoder.network.buffers())
    assert isinstance(worker.load(samples[:1]).pixels[0], torch.Tensor)
