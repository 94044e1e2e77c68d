"""Generation as a stage, so that any executor can spread it and no landed picture is made twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from millsight.generators.production.engines import EngineBuilder, EngineConfig, build_engine
from millsight.generators.production.rows import SCHEMA, to_row
from millsight.generators.samples import Engine, Materials, Request, SampleSpec
from millsight.platform.catalog.sample import Sample
from millsight.platform.stages import Stage, StageOutput

SCHEME = "request:"


class GenerationStage(Stage):
    """Answers requests, which reach it as samples.

    Args:
        spec: Of all of them.
        config: Of the engine.
        materials: Real pictures.
        batch_size: Requests at a time.
        build: Builds the engine; a worker that lives on may keep some.
    """

    schema: ClassVar[pa.Schema] = SCHEMA

    def __init__(
        self,
        spec: SampleSpec,
        config: EngineConfig,
        materials: Materials,
        batch_size: int = 16,
        build: EngineBuilder = build_engine,
    ) -> None:
        self.batch_size = batch_size
        self._build = build
        self._spec, self._config, self._materials = spec, config, materials
        self._engine: Engine | None = None

    def setup(self, device: str, weights: Mapping[str, np.ndarray]) -> None:
        """Build the engine."""
        self._engine = self._build(self._spec.mode, self._config, self._materials, device)

    def load(self, batch: Sequence[Sample]) -> list[tuple[str, Request]]:
        """Return the requests that the samples stand for."""
        return [(sample.id, _request(self._spec, sample)) for sample in batch]

    def process(self, loaded: Any) -> StageOutput:
        """Generate."""
        if self._engine is None:
            raise RuntimeError("process before setup")
        answers = self._engine.generate([request for _, request in loaded])
        rows = [
            to_row(sample_id, answer)
            for (sample_id, _), answer in zip(loaded, answers, strict=True)
        ]
        return StageOutput(pa.Table.from_pylist(rows, schema=SCHEMA))


def as_sample(request: Request) -> Sample:
    """Return a sample that stands for a request; equal requests have equal ids."""
    told = json.dumps([asdict(request.spec), request.index, request.attempt])
    return Sample(
        id=hashlib.sha256(told.encode()).hexdigest()[:32],
        uri=f"{SCHEME}{request.index}/{request.attempt}",
        category=request.spec.label,
    )


def _request(spec: SampleSpec, sample: Sample) -> Request:
    index, _, attempt = sample.uri.removeprefix(SCHEME).partition("/")
    return Request(spec, int(index), int(attempt))
