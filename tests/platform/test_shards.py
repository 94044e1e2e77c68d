from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest

from millsight.platform import storage
from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.shards import FailedShard, ShardStore, make_shards, run_shard
from millsight.platform.stages import Stage, StageOutput

SCHEMA = pa.schema([pa.field("sample_id", pa.string()), pa.field("size", pa.int32())])


class Sizes(Stage):
    schema = SCHEMA
    batch_size = 2

    def __init__(self) -> None:
        self.events: list[str] = []

    def setup(self, device: str, weights: Mapping[str, np.ndarray]) -> None: ...

    def load(self, batch: Sequence[Sample]) -> Sequence[Sample]:
        if any(sample.uri == "unreadable" for sample in batch):
            raise OSError("the disk is gone")
        self.events.append(f"load {batch[0].id} {threading.current_thread().name[:10]}")
        return batch

    def process(self, loaded: Sequence[Sample]) -> StageOutput:
        time.sleep(0.05)
        self.events.append(f"process {loaded[0].id}")
        return to_output(loaded)


def to_output(samples: Sequence[Sample]) -> StageOutput:
    good = [sample for sample in samples if sample.uri != "damaged"]
    rows = [{"sample_id": sample.id, "size": len(sample.uri)} for sample in good]
    bad = tuple(Quarantined(s.uri, "damaged", s.id) for s in samples if s.uri == "damaged")
    return StageOutput(pa.Table.from_pylist(rows, schema=SCHEMA), bad)


def make_samples(count: int, uri: str = "u") -> list[Sample]:
    return [Sample(f"{number:02}", f"{uri}{number}", "steel") for number in range(count)]


@pytest.fixture(params=["local", "memory"])
def directory(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def test_shards_hold_every_sample_once_in_order():
    samples = make_samples(10)
    shards = make_shards(samples, 4)
    assert [sample for shard in shards for sample in shard.samples] == samples
    assert [len(shard.samples) for shard in shards] == [4, 4, 2]
    assert len({shard.id for shard in shards}) == 3
    assert [shard.id for shard in make_shards(samples, 4)] == [shard.id for shard in shards]
    assert make_shards(make_samples(10, "v"), 4)[0].id != shards[0].id


def test_merging_does_not_depend_on_the_order_of_landing(directory):
    samples = [*make_samples(9), Sample("99", "damaged", "steel")]
    shards = make_shards(samples, 3)
    merged = []
    for number, order in enumerate((shards, shards[::-1])):
        store = ShardStore(f"{directory}/{number}/")
        assert store.landed() == set()
        for shard in order:
            store.land(shard.id, to_output(shard.samples))
        assert store.landed() == {shard.id for shard in shards}
        output = store.merge(shards)
        assert output.quarantined == (Quarantined("damaged", "damaged", "99"),)
        assert output.rows["sample_id"].to_pylist() == [s.id for s in samples[:9]]
        storage.write_table(f"{directory}/{number}.parquet", output.rows)
        merged.append(storage.read_bytes(f"{directory}/{number}.parquet"))
    assert merged[0] == merged[1]


def test_landing_withdraws_a_failure(directory):
    (shard,) = make_shards(make_samples(2))
    store = ShardStore(directory)
    store.fail(FailedShard(shard.id, 3, "ValueError"))
    assert b"ValueError" in storage.read_bytes(f"{directory}/failed/{shard.id}.json")
    assert store.landed() == set()
    store.land(shard.id, to_output(shard.samples))
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{directory}/failed/{shard.id}.json")


def test_the_next_batch_loads_while_one_computes():
    stage = Sizes()
    (shard,) = make_shards(make_samples(6))
    output = run_shard(stage, shard)
    assert output.rows["sample_id"].to_pylist() == [f"{number:02}" for number in range(6)]
    kinds = [event.split()[0] + event.split()[1] for event in stage.events]
    assert kinds.index("load02") < kinds.index("process00")
    assert kinds.index("load04") < kinds.index("process02")
    assert kinds.index("process00") < kinds.index("load04")
    assert all("ThreadPool" in event for event in stage.events if event.startswith("load"))


def test_what_a_loader_raises_comes_through_and_its_thread_ends():
    before = threading.active_count()
    samples = [*make_samples(3), Sample("99", "unreadable", "steel")]
    with pytest.raises(OSError, match="the disk is gone"):
        run_shard(Sizes(), make_shards(samples)[0])
    assert threading.active_count() == before


def test_a_stage_without_a_proper_schema_cannot_be_defined():
    members = {"setup": Sizes.setup, "load": Sizes.load, "process": Sizes.process}
    wrong = pa.schema([("score", pa.float32()), ("sample_id", pa.string())])
    for schema in ({}, {"schema": wrong}, {"schema": ["sample_id"]}):
        with pytest.raises(TypeError, match=r"Bad\.schema must be a pyarrow schema"):
            type("Bad", (Stage,), members | schema)
    type("Base", (Stage,), {"setup": Sizes.setup})
    with pytest.raises(TypeError, match="abstract"):
        type("Part", (Stage,), {"schema": SCHEMA, "load": Sizes.load})()
