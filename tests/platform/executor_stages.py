"""Small stages for the executors' tests; what they do and how often shows in marker files."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.errors import UserError
from millsight.platform.stages import Stage, StageOutput


class CountingStage(Stage):
    """Scores each sample by its id; ``uri`` may say what goes wrong with it.

    ``kill`` ends the process, ``kill-once`` only the first time, ``raise``, ``user-error`` and
    ``damaged`` do what they say, ``gpu-fault-once`` raises as torch does after a fault on a GPU.
    """

    schema = pa.schema([("sample_id", pa.string()), ("score", pa.float64())])
    batch_size = 4

    def __init__(self, markers: Path, seconds: float = 0.0) -> None:
        self.markers = markers
        self.seconds = seconds

    def weights(self) -> Mapping[str, np.ndarray]:
        self.mark("weights")
        return {"scale": np.full(1_000_000, 2.0)}

    def setup(self, device: str, weights: Mapping[str, np.ndarray]) -> None:
        self.scale = weights["scale"]
        writeable = self.scale.flags.writeable
        self.mark("setup", f"{os.getpid()} {device} {writeable} {where_mapped(self.scale)}")

    def load(self, batch: Sequence[Sample]) -> Sequence[Sample]:
        return batch

    def process(self, loaded: Sequence[Sample]) -> StageOutput:
        for sample in loaded:
            self.mark(f"process-{sample.id}", str(os.getpid()))
            self.misbehave(sample)
        time.sleep(self.seconds)
        good = [sample for sample in loaded if sample.uri != "damaged"]
        rows = [{"sample_id": s.id, "score": float(int(s.id) * self.scale[0])} for s in good]
        damaged = [Quarantined(s.uri, "damaged", s.id) for s in loaded if s.uri == "damaged"]
        return StageOutput(pa.Table.from_pylist(rows, schema=self.schema), tuple(damaged))

    def misbehave(self, sample: Sample) -> None:
        first = len(list(self.markers.glob(f"process-{sample.id}.*"))) == 1
        if sample.uri == "kill" or (sample.uri == "kill-once" and first):
            os._exit(137)
        if sample.uri == "raise":
            raise ValueError(f"cannot process {sample.id}")
        if sample.uri == "user-error":
            raise UserError("--prompts names no such file")
        if sample.uri == "gpu-fault-once" and first:
            import torch

            raise torch.AcceleratorError("an illegal memory access was encountered")

    def mark(self, name: str, text: str = "") -> None:
        (self.markers / f"{name}.{secrets.token_hex(6)}").write_text(text)


def make_samples(count: int, troubles: Mapping[int, str] | None = None) -> list[Sample]:
    uris = {i: f"picture-{i}" for i in range(count)} | dict(troubles or {})
    return [Sample(str(i), uris[i], "steel") for i in range(count)]


def where_mapped(array: np.ndarray) -> str:
    """Name the shared mapping that holds the array's data, "private" if there is none."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, mode, *_ = line.split()
        start, end = (int(text, 16) for text in span.split("-"))
        if start <= address < end:
            return line.split()[-1].replace(" ", "") if mode.endswith("s") else "private"
    return "private"
