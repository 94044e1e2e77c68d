"""Modes x seeds on one dataset, judged on the same pictures, and what becomes of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from millsight.evaluation.metrics.results import BootstrapConfig
from millsight.evaluation.metrics.sample_results import SampleMetrics
from millsight.evaluation.metrics.seeds import format_over_seeds, over_seeds
from millsight.evaluation.results import table as tables
from millsight.evaluation.results.decisions import by_pixels
from millsight.evaluation.results.judging import judge_samples
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, Draft
from millsight.pretraining.downstream.multitask.commands import FinetuneMultitaskConfig, finetune
from millsight.pretraining.downstream.multitask.data import Kept
from millsight.pretraining.downstream.multitask.experiment_commands import ExperimentConfig
from millsight.pretraining.downstream.multitask.gradient_figure import draw
from millsight.pretraining.downstream.multitask.run import GRADIENTS_FILE

METRICS = ("seg_miou", "seg_recall", "sample_f1", "pooled_miou")
HEADINGS = ("Seg_mIoU", "Seg_Recall", "sample F1", "pooled mIoU")
ANY_PIXEL = "pixel, any pixel"
DIFFERENCES = (("joint", "pixel"), ("gated", "joint"), ("gated", "pixel"))
ROWS_FILE = "rows.json"

Trained = Mapping[tuple[str, int], Artifact]
Measured = dict[str, list[SampleMetrics]]


def train_all(config: ExperimentConfig) -> dict[tuple[str, int], Artifact]:
    """Train what is not trained yet, seed by seed; pictures are read once for all.

    Raises:
        UserError: As ``millsight finetune multitask``.
    """
    kept: Kept = {}
    trained: dict[tuple[str, int], Artifact] = {}
    for seed in config.seeds:
        for mode in config.modes:
            outcome = finetune(_settings(config, mode, seed), kept)
            if outcome.artifact is not None:
                trained[mode, seed] = outcome.artifact
    return trained


def write(draft: Draft, name: str | None, trained: Trained) -> None:
    """Write ``rows.json``, what all modes scored, and ``gradients.parquet``, of all trainings."""
    bootstrap = BootstrapConfig()
    measured, category = _measure(trained, bootstrap)
    content = {"data": name or category, "rows": _rows(measured, bootstrap)}
    storage.write_bytes(draft.file(ROWS_FILE), _json(content))
    storage.write_table(draft.file(GRADIENTS_FILE), _gradients(trained))


def compare(experiments: Sequence[Artifact]) -> str:
    """Return a table in Markdown: mean over seeds [95 % interval over pictures] ± over seeds."""
    lines = [
        "| data | mode | " + " | ".join(HEADINGS) + " |",
        "|---|---|" + "---|" * len(HEADINGS),
    ]
    for content in map(_content, experiments):
        for row in content["rows"]:
            cells = " | ".join(
                format_over_seeds(row[name], signed=row["difference"]) for name in METRICS
            )
            lines.append(f"| {content['data']} | {row['mode']} | {cells} |")
    return "\n".join(lines)


def write_table(draft: Draft, experiments: Sequence[Artifact]) -> None:
    """Write ``table.md``, ``table.csv``, ``table.json`` and ``gradients.svg``."""
    contents = [_content(artifact) for artifact in experiments]
    storage.write_bytes(draft.file("table.md"), (compare(experiments) + "\n").encode())
    storage.write_bytes(draft.file("table.json"), _json(contents))
    storage.write_bytes(draft.file("table.csv"), _csv(contents))
    panels = {
        content["data"]: storage.read_table(artifact.file(GRADIENTS_FILE))
        for content, artifact in zip(contents, experiments, strict=True)
    }
    storage.write_bytes(draft.file("gradients.svg"), draw(panels).encode())


def _settings(config: ExperimentConfig, mode: Any, seed: int) -> FinetuneMultitaskConfig:
    return FinetuneMultitaskConfig(
        workspace=config.workspace,
        data=config.data,
        layout=config.layout,
        category=config.category,
        split=config.split,
        training=replace(config.training, mode=mode, seed=seed),
        tracking=config.tracking,
        accelerator=config.accelerator,
        threads=config.threads,
    )


def _measure(trained: Trained, bootstrap: BootstrapConfig) -> tuple[Measured, str]:
    """Judge every training, a mode's in the order of seeds, and name the category."""
    measured: Measured = {}
    category = ""
    for (mode, _), artifact in trained.items():
        rows = list(tables.from_table(tables.read_table(artifact.file(tables.FILE))))
        category = rows[0].category
        ways = {mode: rows} | ({ANY_PIXEL: by_pixels(rows)} if mode == "pixel" else {})
        for name, decided in ways.items():
            judged = judge_samples(decided, bootstrap=bootstrap)
            if judged is not None:
                measured.setdefault(name, []).append(judged.overall)
    return measured, category


def _rows(measured: Measured, bootstrap: BootstrapConfig) -> list[dict[str, Any]]:
    confidence = bootstrap.confidence
    rows = [
        {"mode": mode, "difference": False}
        | {name: over_seeds(runs, name, confidence=confidence) for name in METRICS}
        for mode, runs in measured.items()
    ]
    rows += [
        {"mode": f"{one} - {other}", "difference": True}
        | {
            name: over_seeds(measured[one], name, minus=measured[other], confidence=confidence)
            for name in METRICS
        }
        for one, other in DIFFERENCES
        if one in measured and other in measured
    ]
    return rows


def _gradients(trained: Trained) -> pa.Table:
    parts = []
    for (mode, seed), artifact in trained.items():
        part = storage.read_table(artifact.file(GRADIENTS_FILE))
        part = part.append_column("mode", pa.array([mode] * len(part), pa.string()))
        parts.append(part.append_column("seed", pa.array([seed] * len(part), pa.int64())))
    return pa.concat_tables(parts)


def _content(artifact: Artifact) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(storage.read_bytes(artifact.file(ROWS_FILE)))
    return content


def _csv(contents: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("value", "low", "high", "spread", "n")
    writer.writerow(("data", "mode", "metric", *columns))
    for content in contents:
        for row in content["rows"]:
            for name in METRICS:
                cells = [row[name][column] for column in columns]
                writer.writerow((content["data"], row["mode"], name, *cells))
    return text.getvalue().encode()


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
