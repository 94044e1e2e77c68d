"""Replicas that die, run out of disk or are asked for what cannot be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from replica_stages import TroubledStage

from millsight.generators.service import pool
from millsight.generators.service.pool import ReplicaPool
from millsight.generators.service.turns import Order
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.shards import Shard, ShardStore


@pytest.fixture(scope="module")
def replicas() -> Iterator[ReplicaPool]:
    made = ReplicaPool(2, "cpu", None)
    with made.running():
        yield made
        processes = made.processes
    assert processes
    assert not any(Path(f"/proc/{process}").exists() for process in processes)


def run(
    replicas: ReplicaPool, folder: Path, *uris: str, told: list[str] | None = None
) -> list[str]:
    """Land one shard per uri; returns the ids in the order they were given back in."""
    order = Order(folder.name, TroubledStage(folder), str(folder / "store"))
    shards = [
        Shard(f"{number}", (Sample(f"s{number}", uri, "steel"),)) for number, uri in enumerate(uris)
    ]
    check = (lambda message: None) if told is None else told.append
    return [shard.id for shard in replicas.answer(order, shards, check)]


def pids(folder: Path) -> set[int]:
    store = ShardStore(str(folder / "store"))
    return {store.read(shard).rows["pid"][0].as_py() for shard in store.landed()}


def test_a_replica_killed_at_work_is_replaced_and_nothing_is_lost(replicas, tmp_path):
    assert run(replicas, tmp_path, "", "once", "", "", "") == ["0", "1", "2", "3", "4"]
    assert (tmp_path / "died").exists()
    assert len(ShardStore(str(tmp_path / "store")).landed()) == 5
    assert pids(tmp_path) <= set(replicas.processes)


def test_what_has_landed_is_not_made_again(replicas, tmp_path):
    run(replicas, tmp_path, "", "")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert run(replicas, tmp_path, "", "", "") == ["0", "1", "2"]
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert before.items() <= after.items()


def test_work_that_kills_every_replica_is_given_up_and_others_go_on(replicas, tmp_path):
    with pytest.raises(UserError, match="died 3 times over the same ones"):
        run(replicas, tmp_path, "", "deadly")
    assert run(replicas, tmp_path, "") == ["0"]


def test_a_full_disk_is_waited_for(replicas, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "RETRY_S", 0.05)
    told: list[str] = []

    class Room(list[str]):
        def append(self, message: str) -> None:
            told.append(message)
            if len(told) > 3:
                (tmp_path / "room").touch()

    assert run(replicas, tmp_path, "full", told=Room()) == ["0"]
    assert any("the service's disk is full" in message for message in told)


def test_a_mistake_and_a_bug_are_told_and_cost_no_replica(replicas, tmp_path):
    run(replicas, tmp_path, "", "")
    before = replicas.processes
    with pytest.raises(UserError, match="mode: wrong"):
        run(replicas, tmp_path / "a", "wrong")
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
        run(replicas, tmp_path / "b", "bug")
    assert replicas.processes == before


def test_breaking_off_leaves_no_work_waiting(replicas, tmp_path):
    class CancelledError(Exception):
        pass

    def check(message: str) -> None:
        raise CancelledError

    order = Order("cancelled", TroubledStage(tmp_path), str(tmp_path / "store"))
    shards = [Shard(f"{number}", (Sample("s", "full", "steel"),)) for number in range(50)]
    with pytest.raises(CancelledError):
        list(replicas.answer(order, shards, check))
    began = time.monotonic()
    assert run(replicas, tmp_path / "next", "") == ["0"]
    assert time.monotonic() - began < 5
