"""Requests answered on an executor: what lands is what the engine gave, and none is made twice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from defect_materials import write_materials, write_plate

from millsight.generators.copy_paste.engine import CopyPasteEngine
from millsight.generators.production.engines import EngineConfig, choose_materials
from millsight.generators.production.rows import from_row, to_row
from millsight.generators.production.stage import GenerationStage, as_sample
from millsight.generators.samples import Generated, Request, SampleSpec
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.executors.local import LocalExecutor
from millsight.platform.shards import ShardStore, make_shards

SPEC = SampleSpec("scratch", count=5, seed=7)


@pytest.fixture
def materials(tmp_path):
    return write_materials(tmp_path)


def assert_same(found: Generated, wanted: Generated) -> None:
    for field in dataclasses.fields(Generated):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
        else:
            assert one == other


def test_a_sample_survives_its_row(materials):
    (wanted,) = CopyPasteEngine(materials).generate([Request(SPEC, 3, 1)])
    assert_same(from_row(to_row("id", wanted), SPEC), wanted)
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    bare = Generated(Request(SPEC, 0), colours, np.zeros((5, 7), np.bool_), ())
    assert_same(from_row(to_row("id", bare), SPEC), bare)


def test_what_lands_is_what_the_engine_makes_of_each_request_alone(materials, tmp_path):
    requests = [Request(SPEC, index) for index in range(5)] + [Request(SPEC, 2, 1)]
    shards = make_shards([as_sample(request) for request in requests], 4)
    store = ShardStore(str(tmp_path / "store"))
    stage = GenerationStage(SPEC, EngineConfig(), materials, batch_size=3)
    assert LocalExecutor("cpu").run(stage, shards, store).landed == 2
    rows = store.merge(shards).rows.to_pylist()
    engine = CopyPasteEngine(materials)
    for row, request in zip(rows, requests, strict=True):
        assert_same(from_row(row, SPEC), engine.generate([request])[0])
    assert LocalExecutor("cpu").run(stage, shards, store).skipped == 2


def test_equal_requests_have_equal_ids_and_others_other_ones():
    other = dataclasses.replace(SPEC, strength=0.5)
    ids = [as_sample(Request(*words)).id for words in ((SPEC, 0), (SPEC, 0, 1), (other, 0))]
    assert len(set(ids)) == 3
    assert as_sample(Request(SampleSpec("scratch", count=5, seed=7), 0)).id == ids[0]


def test_materials_are_real_pictures_of_the_training_split(tmp_path):
    found = write_materials(tmp_path)
    plate = found.plates[0]
    unwanted = [
        dataclasses.replace(plate, split="test"),
        dataclasses.replace(plate, synthetic="compositeSynthetic"),
        dataclasses.replace(plate, label="dent"),
        write_plate(tmp_path, "unknown", np.zeros((8, 8, 3), np.uint8), label=None),
    ]
    catalog = Catalog((*found.plates, *found.defects, *unwanted))
    assert choose_materials(catalog, "scratch") == found
