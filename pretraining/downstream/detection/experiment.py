"""Starts x numbers of labelled pictures x seeds, judged on the same pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from millsight.evaluation.metrics.results import BootstrapConfig, Row
from millsight.evaluation.results import table as tables
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, Draft, open_artifact
from millsight.platform.errors import UserError
from millsight.pretraining.backbone.commands import KIND as BACKBONE
from millsight.pretraining.detector.start import KINDS as DETECTORS
from millsight.pretraining.downstream.comparison import ALL, compare_rows
from millsight.pretraining.downstream.detection.commands import FinetuneDetectionConfig, finetune
from millsight.pretraining.downstream.detection.experiment_commands import (
    SCRATCH,
    DetectionExperimentConfig,
)
from millsight.pretraining.downstream.detection.experiment_table import ROWS_FILE
from millsight.pretraining.downstream.judging import DETECTION, judge_run


@dataclass(frozen=True, slots=True)
class Key:
    """One training: what it starts from, how many pictures are labelled, and its seed."""

    start: str
    labelled: int | None
    seed: int

    def __str__(self) -> str:
        return f"{self.start}, {self.labelled or ALL} pictures, seed {self.seed}"


Trained = Mapping[Key, Artifact]


def finetune_all(config: DetectionExperimentConfig) -> dict[Key, Artifact]:
    """Finetune what is not finetuned yet, in this process or on Ray.

    Raises:
        UserError: As ``millsight finetune detection``.
        RuntimeError: If a training died too often on Ray; the others are done.
    """
    starts = {name: start_from(source) for name, source in config.named_starts().items()}
    keys = {
        str(key): key
        for count in config.labelled
        for seed in config.seeds
        for key in (Key(name, count, seed) for name in starts)
    }
    tasks: dict[str, Callable[[], Artifact]] = {
        name: partial(finetune, settings_of(config, starts[key.start], key))
        for name, key in keys.items()
    }
    done: list[str] = []

    def tell(name: str) -> None:
        done.append(name)
        print(f"{len(done)}/{len(tasks)} {name}")

    found = config.execution.run(tasks, tell)
    return {keys[name]: artifact for name, artifact in found.items()}


@dataclass(frozen=True, slots=True)
class From:
    """What the settings of a finetuning name its start by.

    Attributes:
        weights: A whole detector.
        training: Settings of a new one's backbone.
    """

    weights: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)


def start_from(source: str) -> From:
    """Return how to start from an artifact, a source of weights, or nothing.

    Raises:
        UserError: If there is neither a backbone nor a detector.
    """
    if source == SCRATCH:
        return From(training={"pretrained": False})
    kind, _, rest = source.partition(":")
    if rest and not rest.startswith("//"):
        return From(training={"backbone": source})
    artifact = open_artifact(source)
    kind = artifact.manifest["kind"]
    if kind in DETECTORS:
        return From(weights=artifact.path)
    if kind == BACKBONE:
        return From(training={"backbone": f"path:{artifact.path}/backbone"})
    raise UserError(f"--starts {source}: holds {kind!r}, neither a backbone nor a detector.")


def settings_of(
    config: DetectionExperimentConfig, start: From, key: Key
) -> FinetuneDetectionConfig:
    """Return the settings of one training."""
    epochs = config.epochs(key.labelled)
    training = replace(
        config.training, labelled=key.labelled, seed=key.seed, epochs=epochs, **start.training
    )
    if config.steps is not None and key.labelled is not None:
        training = replace(training, validate_every=max(1, epochs // config.validations))
    on_ray = config.execution.executor == "ray"
    hidden = on_ray and config.accelerator == "auto" and not config.execution.gpus_per_worker
    return FinetuneDetectionConfig(
        workspace=config.workspace,
        data=config.data,
        layout=config.layout,
        category=config.category,
        split=config.split,
        weights=start.weights,
        training=training,
        tracking=config.tracking,
        accelerator="cpu" if hidden else config.accelerator,
        threads=config.execution.cpus_per_worker if on_ray else config.threads,
        loaders=config.loaders,
    )


def write(draft: Draft, name: str | None, reference: str, trained: Trained) -> None:
    """Write ``rows.json``: what every start scored, and its paired difference to the reference."""
    bootstrap = BootstrapConfig()
    measured: dict[tuple[str, int | None], list[Row]] = {}
    for key, run in trained.items():
        found = judge_run(run, DETECTION, bootstrap)
        measured.setdefault((key.start, key.labelled), []).append(found)
    if name is None:
        run = next(iter(trained.values()))
        table = tables.read_table(run.file(tables.FILE))
        name = next(iter(tables.from_table(table))).category
    rows = compare_rows(measured, reference, DETECTION.metrics, bootstrap.confidence)
    content = {"data": name, "rows": rows}
    storage.write_bytes(draft.file(ROWS_FILE), (json.dumps(content, indent=2) + "\n").encode())
