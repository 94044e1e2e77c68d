from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from executor_stages import CountingStage, make_samples

from millsight.platform.errors import UserError
from millsight.platform.executors import ledger, ray_actors
from millsight.platform.executors.build import ExecutionConfig
from millsight.platform.executors.executor import Executor
from millsight.platform.executors.local import LocalExecutor
from millsight.platform.shards import Shard, ShardStore, make_shards


@pytest.fixture
def markers(tmp_path: Path) -> Path:
    directory = tmp_path / "markers"
    directory.mkdir()
    return directory


def times_processed(markers: Path) -> Counter[str]:
    names = (path.name.split(".")[0] for path in markers.glob("process-*"))
    return Counter(name.removeprefix("process-") for name in names)


def working(markers: Path) -> list[int]:
    """Processes that were set up, in order of age."""
    marks = sorted(markers.glob("setup.*"), key=lambda path: path.stat().st_mtime_ns)
    return [int(path.read_text().split()[0]) for path in marks]


def ray_executor(workers: int = 2) -> Executor:
    return ExecutionConfig(executor="ray", workers=workers, address="local").build()


def landed_bytes(store: ShardStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(store.directory, "shards").iterdir()}


def test_local_lands_all_and_reports(tmp_path: Path, markers: Path) -> None:
    shards = make_shards(make_samples(20, {7: "damaged"}), 8)
    store = ShardStore(str(tmp_path / "store"))
    seen: list[Shard] = []
    report = LocalExecutor("cpu").run(CountingStage(markers), shards, store, seen.append)
    assert (report.landed, report.skipped, report.requeued, report.failed) == (3, 0, 0, ())
    assert seen == shards
    output = store.merge(shards)
    assert output.rows.column("score").to_pylist() == [2.0 * i for i in range(20) if i != 7]
    assert [item.sample_id for item in output.quarantined] == ["7"]


def test_local_tries_three_times_then_records_the_error(tmp_path: Path, markers: Path) -> None:
    shards = make_shards(make_samples(16, {9: "raise"}), 8)
    store = ShardStore(str(tmp_path / "store"))
    report = LocalExecutor("cpu").run(CountingStage(markers), shards, store)
    assert (report.landed, report.requeued) == (1, 2)
    assert [failed.attempts for failed in report.failed] == [3]
    record = (tmp_path / "store" / "failed" / f"{shards[1].id}.json").read_text()
    assert "cannot process 9" in record
    assert times_processed(markers)["9"] == 3

    mended = make_shards(make_samples(16, {9: "raise"}), 8)
    stage = CountingStage(markers)
    stage.misbehave = lambda sample: None  # type: ignore[method-assign]
    report = LocalExecutor("cpu").run(stage, mended, store)
    assert (report.landed, report.skipped, report.failed) == (1, 1, ())
    assert not list((tmp_path / "store" / "failed").iterdir())


def test_local_user_error_is_not_tried_again(tmp_path: Path, markers: Path) -> None:
    shards = make_shards(make_samples(16, {1: "user-error"}), 8)
    with pytest.raises(UserError, match="--prompts"):
        LocalExecutor("cpu").run(CountingStage(markers), shards, ShardStore(str(tmp_path)))
    assert times_processed(markers)["1"] == 1


def test_interrupt_keeps_what_landed(tmp_path: Path, markers: Path) -> None:
    shards = make_shards(make_samples(24), 8)
    store = ShardStore(str(tmp_path / "store"))

    def interrupt(shard: Shard) -> None:
        if shard is shards[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalExecutor("cpu").run(CountingStage(markers), shards, store, interrupt)
    assert store.landed() == {shards[0].id, shards[1].id}
    report = LocalExecutor("cpu").run(CountingStage(markers), shards, store)
    assert (report.landed, report.skipped) == (1, 2)
    assert set(times_processed(markers).values()) == {1}


def test_a_local_pool_sets_up_once_and_only_when_there_is_something_to_do(
    tmp_path: Path, markers: Path
) -> None:
    shards, store = make_shards(make_samples(24), 8), ShardStore(str(tmp_path / "store"))
    with LocalExecutor("cpu").pool(CountingStage(markers), store) as pool:
        assert [pool.run([shard]).landed for shard in shards] == [1, 1, 1]
    assert len(working(markers)) == 1
    with LocalExecutor("cpu").pool(CountingStage(markers), store) as pool:
        assert pool.run(shards).skipped == 3
    assert len(working(markers)) == 1


@pytest.mark.usefixtures("ray_with_stages")
def test_a_ray_pool_keeps_its_worker_and_mends_it_between_runs(
    tmp_path: Path, markers: Path
) -> None:
    shards, store = make_shards(make_samples(16), 4), ShardStore(str(tmp_path))
    with ray_executor(1).pool(CountingStage(markers), store) as pool:
        assert [pool.run([shard]).landed for shard in shards[:2]] == [1, 1]
        (pid,) = working(markers)
        os.kill(pid, signal.SIGKILL)
        report = pool.run(shards)
        assert (report.landed, report.skipped, report.requeued) == (2, 2, 0)
        assert len(set(working(markers))) == 2
    assert len(list(markers.glob("weights.*"))) == 1
    deadline = time.monotonic() + 10
    while Path(f"/proc/{working(markers)[-1]}").exists():
        assert time.monotonic() < deadline, "freed with the pool"
        time.sleep(0.05)


def test_weights_are_read_only_on_both_executors(
    tmp_path: Path, markers: Path, ray_with_stages: None
) -> None:
    shards = make_shards(make_samples(32), 4)
    stage = CountingStage(markers, seconds=0.2)
    LocalExecutor(device="cpu").run(stage, shards[:1], ShardStore(str(tmp_path / "a")))
    ray_executor().run(stage, shards, ShardStore(str(tmp_path / "b")))
    marks = [path.read_text().split() for path in markers.glob("setup.*")]
    assert {(device, writeable) for _, device, writeable, *_ in marks} == {("cpu", "False")}
    shared = [memory for *_, memory in marks if memory != "private"]
    assert len(shared) == 2, "both workers read the weights in Ray's shared memory"
    assert len(list(markers.glob("weights.*"))) == 2, "asked for once per run, on the driver"


def test_killed_worker_costs_one_attempt_and_no_landed_shard(
    tmp_path: Path, markers: Path, ray_with_stages: None
) -> None:
    shards = make_shards(make_samples(48, {17: "kill-once", 40: "gpu-fault-once"}), 4)
    store, whole = ShardStore(str(tmp_path / "store")), ShardStore(str(tmp_path / "whole"))
    report = ray_executor().run(CountingStage(markers, seconds=0.05), shards, store)
    assert (report.landed, report.requeued, report.failed) == (12, 2, ())
    again = {sample for sample, times in times_processed(markers).items() if times > 1}
    assert again <= {"16", "17", "40"}, "only the two shards in hand were begun again"

    stage = CountingStage(markers)
    stage.misbehave = lambda sample: None  # type: ignore[method-assign]
    LocalExecutor("cpu").run(stage, shards, whole)
    assert landed_bytes(store) == landed_bytes(whole)


@pytest.mark.usefixtures("ray_with_stages")
def test_shard_that_kills_its_workers_is_given_up(
    tmp_path: Path, markers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each death takes as long as a process's start.
    monkeypatch.setattr(ledger, "MAX_ATTEMPTS", 2)
    shards = make_shards(make_samples(24, {0: "kill", 9: "raise"}), 4)
    store = ShardStore(str(tmp_path / "store"))
    report = ray_executor().run(CountingStage(markers), shards, store)
    assert report.landed == 4
    assert {failed.shard_id for failed in report.failed} == {shards[0].id, shards[2].id}
    assert all(failed.attempts == 2 for failed in report.failed)
    died = (tmp_path / "store" / "failed" / f"{shards[0].id}.json").read_text()
    assert "worker died" in died
    assert times_processed(markers)["0"] == 2
    innocent = [shard.id for shard in shards if shard not in (shards[0], shards[2])]
    assert store.landed() == set(innocent)


@pytest.mark.usefixtures("ray_with_stages")
def test_only_a_worker_that_waits_long_is_said_to_have_no_place(
    markers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker dies when the run is an hour old: it has its place, and starts again there.

    It takes three of four CPUs, so that the other one never has a place.
    """
    age = SimpleNamespace(seconds=0.0)
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + age.seconds, sleep=time.sleep)
    monkeypatch.setattr(ray_actors, "time", clock)
    shards = make_shards(make_samples(20, {8: "kill-once"}), 4)

    def an_hour_passes(shard: Shard) -> None:
        age.seconds = 3600.0

    stage, store = CountingStage(markers, seconds=0.3), ShardStore(str(markers.parent / "store"))
    config = ExecutionConfig("ray", workers=2, cpus_per_worker=3, address="local")
    config.build().run(stage, shards, store, an_hour_passes)
    printed = capsys.readouterr().err
    assert "A worker died at shard" in printed
    assert printed.count("no place yet") == printed.count("1 of 2 workers have no place yet") == 1


def test_ray_user_error_reaches_the_caller(
    tmp_path: Path, markers: Path, ray_with_stages: None
) -> None:
    shards = make_shards(make_samples(4, {1: "user-error"}), 4)
    with pytest.raises(UserError, match="--prompts"):
        ray_executor(workers=1).run(CountingStage(markers), shards, ShardStore(str(tmp_path)))


def test_execution_config_refuses_what_cannot_work() -> None:
    with pytest.raises(UserError, match="gpus_per_worker"):
        ExecutionConfig(executor="ray", device="cuda").build()
    with pytest.raises(UserError, match="executor: ray"):
        ExecutionConfig(workers=2).build()
    with pytest.raises(UserError, match="shard_size"):
        ExecutionConfig(shard_size=0).build()
