"""The executors against what they replace, on the same pictures with the same network.

    python -m benchmarks.executors --json

Two one-core Ray actors against two plain one-core processes, and the executor in this process
against a bare loop over the batches. Set-up (processes, imports, weights) is left out of the
throughput and stated beside it. The contestants alternate, and the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from millsight.platform.catalog.sample import Sample
from millsight.platform.executors.build import ExecutionConfig
from millsight.platform.shards import Shard, ShardStore, make_shards, run_shard
from millsight.platform.stages import Stage, StageOutput

PICTURE_SIZE = 224
WORKERS = 2


class ClassifyStage(Stage):
    """EfficientNet-Lite0 over 224 px pictures: the 1,000 logits' maximum.

    Args:
        gate: Directory in which workers wait for each other at the end of set-up, so that none
            works while another still starts.
        workers: How many wait there.
    """

    schema = pa.schema([("sample_id", pa.string()), ("score", pa.float32())])
    batch_size = 16

    def __init__(self, gate: Path, workers: int) -> None:
        self.gate = gate
        self.workers = workers

    def weights(self) -> Mapping[str, np.ndarray]:
        """ImageNet weights, from the embedded package."""
        from millsight.platform.weights.sources import load_weights

        loaded = load_weights("embedded:efficientnet-lite0")
        return {name: tensor.numpy() for name, tensor in loaded.state_dict.items()}

    def setup(self, device: str, weights: Mapping[str, np.ndarray]) -> None:
        """Build the network on one thread."""
        import timm
        import torch

        torch.set_num_threads(1)
        self.model = timm.create_model("tf_efficientnet_lite0").eval()
        self.model.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
        self.gate.mkdir(parents=True, exist_ok=True)
        (self.gate / str(os.getpid())).touch()
        while len(list(self.gate.iterdir())) < self.workers:
            time.sleep(0.01)

    def load(self, batch: Sequence[Sample]) -> tuple[Sequence[Sample], np.ndarray]:
        """Decode a batch."""
        pictures = [np.asarray(cv2.imread(s.uri, cv2.IMREAD_COLOR_RGB)) for s in batch]
        return batch, np.stack(pictures)

    def process(self, loaded: tuple[Sequence[Sample], np.ndarray]) -> StageOutput:
        """Classify a batch."""
        import torch

        batch, pictures = loaded
        with torch.inference_mode():
            images_BCHW = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
            scores_B = self.model(images_BCHW).amax(1).numpy()
        ids = [sample.id for sample in batch]
        return StageOutput(pa.table({"sample_id": ids, "score": scores_B}, schema=self.schema))


def write_pictures(directory: Path, count: int) -> list[Sample]:
    """Write PNG pictures of brushed-looking noise, seeded."""
    rng = np.random.default_rng(0)
    samples = []
    for index in range(count):
        rows = rng.integers(60, 200, (PICTURE_SIZE, 1, 1))
        grain = rng.integers(0, 40, (PICTURE_SIZE, PICTURE_SIZE, 3))
        path = directory / f"{index:05}.png"
        cv2.imwrite(str(path), (rows + grain).astype(np.uint8))
        samples.append(Sample(f"{index:032x}", str(path), "steel"))
    return samples


def time_processes(shards: Sequence[Shard], directory: Path) -> tuple[float, float]:
    """Seconds of set-up and of work of plain processes, each with every second shard."""
    context = multiprocessing.get_context("spawn")
    ready, start = context.Barrier(WORKERS + 1), context.Barrier(WORKERS + 1)
    began = time.perf_counter()
    workers = [
        context.Process(target=_work, args=(shards[i::WORKERS], directory, ready, start))
        for i in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    ready.wait()
    setup = time.perf_counter() - began
    began = time.perf_counter()
    start.wait()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return setup, time.perf_counter() - began


def _work(shards: Sequence[Shard], directory: Path, ready: object, start: object) -> None:
    stage = ClassifyStage(directory / "gate", 1)
    stage.setup("cpu", stage.weights())
    store = ShardStore(str(directory))
    ready.wait()  # type: ignore[attr-defined]
    start.wait()  # type: ignore[attr-defined]
    for shard in shards:
        store.land(shard.id, run_shard(stage, shard))
    os._exit(0)  # the interpreter's own end is no part of the work


def time_ray(shards: Sequence[Shard], directory: Path) -> tuple[float, float]:
    """Seconds of set-up and of work of Ray actors."""
    executor = ExecutionConfig(executor="ray", workers=WORKERS).build()
    report = executor.run(
        ClassifyStage(directory / "gate", WORKERS), shards, ShardStore(str(directory))
    )
    assert report.landed == len(shards)
    return report.setup_seconds, report.process_seconds


def time_loop(shards: Sequence[Shard], directory: Path) -> tuple[float, float]:
    """Seconds of a bare loop over the same batches, which keeps nothing."""
    began = time.perf_counter()
    stage = ClassifyStage(directory / "gate", 1)
    stage.setup("cpu", stage.weights())
    setup = time.perf_counter() - began
    began = time.perf_counter()
    for shard in shards:
        for start in range(0, len(shard.samples), stage.batch_size):
            stage.process(stage.load(shard.samples[start : start + stage.batch_size]))
    return setup, time.perf_counter() - began


def time_local(shards: Sequence[Shard], directory: Path) -> tuple[float, float]:
    """Seconds of the executor in this process, which reads ahead and lands every shard."""
    executor = ExecutionConfig(device="cpu").build()
    report = executor.run(ClassifyStage(directory / "gate", 1), shards, ShardStore(str(directory)))
    return report.setup_seconds, report.process_seconds


Contestant = Callable[[Sequence[Shard], Path], tuple[float, float]]


def compare(
    contestants: Mapping[str, Contestant], shards: Sequence[Shard], directory: Path, rounds: int
) -> tuple[float, dict[str, dict[str, float]]]:
    """Let them run in turn, the order reversed every other round; medians over the rounds.

    Returns first the median of the rounds' ratios, second contestant over first: what else
    the machine does in a round then falls on both.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: 1 if number % 2 == 0 else -1]:
            seconds[name].append(contestants[name](shards, directory / f"{name}-{number}"))
    pictures = sum(len(shard.samples) for shard in shards)
    first, second = contestants
    pairs = zip(seconds[first], seconds[second], strict=True)
    ratio = statistics.median(a[1] / b[1] for a, b in pairs)
    return ratio, {
        name: {
            "pictures_per_second": pictures / statistics.median(work for _, work in times),
            "slowest_round": pictures / max(work for _, work in times),
            "fastest_round": pictures / min(work for _, work in times),
            "setup_seconds": statistics.median(setup for setup, _ in times),
        }
        for name, times in seconds.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    import ray

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shards = make_shards(write_pictures(directory, options.pictures), 125)
        ray.init(
            address="local",
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        pair = {"processes": time_processes, "ray": time_ray}
        single = {"loop": time_loop, "local": time_local}
        ray_ratio, found = compare(pair, shards, directory, options.rounds)
        ray.shutdown()
        local_ratio, alone = compare(single, shards[:4], directory, options.rounds)
    found |= alone
    result = {
        "pictures": options.pictures,
        "rounds": options.rounds,
        "ray_over_processes": ray_ratio,
        "local_over_loop": local_ratio,
        **found,
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, values in found.items():
        print(
            f"{name:10} {values['pictures_per_second']:7.1f} pictures/s "
            f"({values['slowest_round']:.1f}-{values['fastest_round']:.1f}), "
            f"set-up {values['setup_seconds']:.1f} s"
        )
    print(f"ray over processes {result['ray_over_processes']:.3f}")
    print(f"local over loop    {result['local_over_loop']:.3f}")


if __name__ == "__main__":
    main()
