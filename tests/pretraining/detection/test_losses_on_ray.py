"""A killed worker and a lost node of Ray cost time, and change no weight."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_boxes import coco_set
from safetensors.torch import load_file

from millsight.platform.artifacts import open_artifact

# Ray gives its workers the lowest priority, so that they starve beside other work.
PATIENCE = 900
TINY = [
    *("--training.backbone", "random:timm:test_efficientnet?seed=0", "--training.image_size", "64"),
    *("--training.width", "16", "--training.proposals", "40", "--training.frozen_stages", "0"),
    *("--training.batch_size", "4", "--training.epochs", "10", "--training.ema", "0.8"),
    *("--training.learning_rate", "1e-2", "--threads", "1", "--accelerator", "cpu"),
    *("--tracking.wandb", "disabled"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco_set(tmp_path_factory.mktemp("set"), {"train": 16, "val": 4, "test": 4})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that runs nothing, and two nodes with room for one worker each."""
    from ray.cluster_utils import Cluster

    # On a busy machine half a minute does not do.
    patience = pytest.MonkeyPatch()
    patience.setenv("RAY_raylet_start_wait_time_s", "300")
    settings = {"object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **settings})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **settings)
    yield cluster
    cluster.shutdown()
    patience.undo()


def start(data: Path, folder: Path, *words: str) -> subprocess.Popen[bytes]:
    folder.mkdir()
    command = [sys.executable, "-m", "millsight.platform.cli", "finetune", "detection"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [*command, "--data", str(data), *TINY, "--output", "table", *words],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def result(process: subprocess.Popen[bytes], folder: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """Wait for a run's end; return its weights and what it says of the selection."""
    assert process.wait(PATIENCE) == 0, (folder / "said").read_text()
    (place,) = json.loads((folder / "table" / "runs.json").read_text()).values()
    metrics = open_artifact(folder / place).manifest["metrics"]
    return load_file(folder / place / "detector" / "model.safetensors"), metrics


@pytest.fixture(scope="module")
def uninterrupted(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, torch.Tensor], Any]:
    folder = tmp_path_factory.mktemp("local") / "run"
    return result(start(data, folder), folder)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes]) -> Any:
    while not (found := condition()):
        assert process.poll() is None, "it ended before it was disturbed"
        time.sleep(0.02)
    return found


def children(pid: int) -> set[int]:
    """All processes below one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, parent, *_ = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(parent)
    family, size = {pid}, 0
    while len(family) > size:
        size = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    return family - {pid}


def trainers(node: Any) -> set[int]:
    """Processes on a node that train."""
    raylet = node.all_processes["raylet"][0].process.pid
    found = set()
    for pid in children(raylet):
        with contextlib.suppress(OSError):
            if b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("lost", ["worker", "node"])
def test_what_is_lost_is_trained_again_to_the_same_weights(
    lost: str, data: Path, cluster: Any, uninterrupted: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    where = ["--execution.executor", "ray", "--execution.address", cluster.address]
    process = start(data, folder, *where)
    # The first epoch proves nothing: its loss may have the run begin anew.
    wait_for(lambda: len(list(folder.glob("**/ray/**/checkpoint.ckpt"))) > 1, process)
    busy = [node for node in cluster.worker_nodes if trainers(node)]
    assert len(busy) == 1
    before = trainers(busy[0])
    if lost == "worker":
        for pid in before:
            os.kill(pid, signal.SIGKILL)
    else:
        cluster.remove_node(busy[0], allow_graceful=False)
    others = list(cluster.worker_nodes)
    wait_for(lambda: {pid for node in others for pid in trainers(node)} - before, process)
    weights, metrics = result(process, folder)
    wanted, told = uninterrupted
    assert metrics["best_epoch"] == told["best_epoch"]
    assert metrics["val_map_50_95"] == pytest.approx(told["val_map_50_95"])
    assert weights.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.allclose(weights[name], value, atol=1e-6), name


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_a_loss_that_is_not_finite_is_one_message(data: Path, cluster: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    where = ["--execution.executor", "ray", "--execution.address", cluster.address]
    process = start(data, folder, *where, "--training.learning_rate", "1e30")
    assert process.wait(PATIENCE) == 2
    said = (folder / "said").read_text()
    assert "millsight: the loss became" in said
    assert "Traceback" not in said
