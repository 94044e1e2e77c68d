from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from executor_stages import CountingStage, make_samples

from millsight.platform.executors.build import ExecutionConfig
from millsight.platform.executors.local import LocalExecutor
from millsight.platform.shards import ShardStore, make_shards

HERE = Path(__file__).parent


@pytest.fixture(params=["shared", pytest.param("own", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, ray_with_stages: None) -> str:
    """A Ray that runs on without its driver; or one of the driver's own, which takes its time."""
    import ray

    return "local" if request.param == "own" else ray.get_runtime_context().gcs_address


def start(directory: Path, address: str) -> subprocess.Popen[str]:
    (directory / "markers").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(HERE / "executor_script.py"), str(directory), address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def landed(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob("store/shards/*.parquet")}


def worker_pids(directory: Path) -> set[int]:
    return {int(path.read_text().split()[0]) for path in directory.glob("markers/setup.*")}


def parents() -> dict[int, int]:
    """Parent of every process that is alive; zombies are not."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, *_ = path.read_text().rpartition(")")[2].split()
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def descendants(pid: int) -> set[int]:
    tree, family = parents(), {pid}
    while more := {child for child, parent in tree.items() if parent in family} - family:
        family |= more
    return family - {pid}


def all_gone(pids: set[int]) -> bool:
    return not pids & parents().keys()


def times_processed(directory: Path) -> Counter[str]:
    names = (path.name.split(".")[0] for path in directory.glob("markers/process-*"))
    return Counter(name.removeprefix("process-") for name in names)


def test_killed_worker_then_killed_driver_then_rerun(tmp_path: Path, address: str) -> None:
    first = start(tmp_path, address)
    wait_for(lambda: len(landed(tmp_path)) >= 2)
    os.kill(worker_pids(tmp_path).pop(), signal.SIGKILL)
    wait_for(lambda: len(landed(tmp_path)) >= 5)
    first.kill()
    first.communicate()
    wait_for(lambda: all_gone(worker_pids(tmp_path)))
    before = landed(tmp_path)
    done = times_processed(tmp_path)

    shards, stage = make_shards(make_samples(60), 4), CountingStage(tmp_path / "markers")
    again = ExecutionConfig(executor="ray", workers=1).build()
    report = again.run(stage, shards, ShardStore(str(tmp_path / "store")))
    assert (report.landed, report.skipped) == (15 - len(before), len(before))
    skipped = [s.id for shard in shards if f"{shard.id}.parquet" in before for s in shard.samples]
    assert all(times_processed(tmp_path)[name] == done[name] for name in skipped)

    whole = tmp_path / "whole"
    (whole / "markers").mkdir(parents=True)
    stage = CountingStage(whole / "markers")
    LocalExecutor("cpu").run(stage, shards, ShardStore(str(whole / "store")))
    assert landed(tmp_path) == landed(whole)


def test_interrupt_leaves_no_worker_and_no_traceback(tmp_path: Path, address: str) -> None:
    driver = start(tmp_path, address)
    wait_for(lambda: len(landed(tmp_path)) >= 2)
    family = descendants(driver.pid) | worker_pids(tmp_path)
    # As a terminal does it: the whole foreground group gets the signal.
    os.killpg(driver.pid, signal.SIGINT)
    out, err = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in out + err
    wait_for(lambda: all_gone(family), seconds=15)
