"""What ``millsight evaluate`` is given: predictions to judge, and runs to compare them with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from millsight.evaluation.results import masks, scores
from millsight.evaluation.results.outside import absolute, file_input
from millsight.evaluation.results.table import FILE, read_table, run_of, to_table
from millsight.evaluation.results.truth import from_samples
from millsight.evaluation.runs.commands import EvaluateConfig
from millsight.evaluation.runs.map_sources import MapSources
from millsight.evaluation.runs.predictions import (
    open_truth,
    prediction_facts,
    prediction_inputs,
    prediction_table,
)
from millsight.platform import storage
from millsight.platform.artifacts import MANIFEST, Artifact, open_artifact
from millsight.platform.catalog.catalog import load_data
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input

MULTITASK = "multitask"
MASKS = "masks"
SCORES_FILE = "predictions.csv"
FINGERPRINT = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """One run: predictions over pictures whose truth is known.

    Attributes:
        name: For people; no two alike.
        inputs: What it is made from, by role.
        facts: What made it, for the report: name to value.
        load: Makes its result table.
        maps: Its anomaly maps, if it has any.
    """

    name: str
    inputs: Mapping[str, Input]
    facts: Mapping[str, object]
    load: Callable[[], pa.Table]
    maps: MapSources | None = None


def open_sources(config: EvaluateConfig) -> list[Source]:
    """Open all runs, the one that the report is about first.

    Raises:
        UserError: If something is missing or of another kind.
    """
    found = [_predictions(config)] if config.predicts else []
    found += [_open_run(config, path, at) for at, path in enumerate(config.results)]
    names = config.names or _distinct([source.name for source in found])
    return [replace(source, name=name) for source, name in zip(found, names, strict=True)]


def _predictions(config: EvaluateConfig) -> Source:
    truth = open_truth(config)
    name = config.names[0] if config.names else _name_of(config)
    return Source(
        name,
        prediction_inputs(config, truth),
        prediction_facts(config, truth),
        lambda: prediction_table(config, truth, name),
        truth.maps,
    )


def _name_of(config: EvaluateConfig) -> str:
    named = (config.maps, config.masks, config.detections, config.scores)
    last = next(path for path in named if path).rstrip("/").rpartition("/")[2]
    return last.rpartition(".")[0] or last


def _open_run(config: EvaluateConfig, path: str, at: int) -> Source:
    """Open a result table, or an artifact that holds one or what makes one."""
    file = path if path.endswith(".parquet") else f"{path.rstrip('/')}/{FILE}"
    fs, local = storage.filesystem(file)
    if fs.exists(local) or file == path:
        table = read_table(file)
        facts = {"results": path, "run": run_of(table), **_made_by(path)}
        inputs = {f"results_{at}": file_input(file)}
        return Source(_run_name(table, facts), inputs, facts, lambda: table)
    artifact = open_artifact(path)
    kind = artifact.manifest["kind"]
    if kind != MULTITASK:
        hint = " Name it with --maps." if kind == "maps" else ""
        raise UserError(
            f"--results {path} holds {kind!r} and no {FILE}; name an evaluation, a result table or "
            f"a multitask artifact.{hint}"
        )
    facts = {"results": path, **_made_by(path)}
    name = f"{MULTITASK}-{artifact.fingerprint[:12]}"
    return Source(
        name,
        {f"results_{at}": artifact.as_input()},
        facts,
        lambda: _multitask_table(artifact, config, name),
    )


def _multitask_table(artifact: Artifact, config: EvaluateConfig, name: str) -> pa.Table:
    """Join a multi-task model's predictions with the truth of the split it predicted."""
    address = config.data or str(artifact.manifest["inputs"]["data"]["uri"])
    catalog = load_data(address, config.layout, config.category)
    folder = absolute(artifact.file(MASKS))
    predicted = {file.removesuffix(".png") for file in masks.png_files(folder)}
    split = artifact.config["split"]
    samples = [s for s in catalog.samples if s.split == split and s.id in predicted]
    missing = len(predicted - {sample.id for sample in samples})
    if missing:
        raise UserError(
            f"--data {address}: {missing} pictures that {artifact.path} predicts are not in its "
            f"split {split!r}. Name the data that the model was trained on."
        )
    rows = scores.add_scores(from_samples(samples), artifact.file(SCORES_FILE))
    return to_table(masks.add_masks(rows, folder), name)


def _run_name(table: pa.Table, facts: Mapping[str, object]) -> str:
    """Shorten a run that is named by its fingerprint."""
    run = run_of(table)
    if not FINGERPRINT.fullmatch(run):
        return run
    return f"{facts.get('kind', 'run')}-{run[:12]}"


def _made_by(path: str) -> dict[str, object]:
    """Say which weights made an artifact; nothing for a lone file."""
    fs, local = storage.filesystem(f"{path.rstrip('/')}/{MANIFEST}")
    if not fs.exists(local):
        return {}
    manifest = open_artifact(path).manifest
    made = {"kind": manifest["kind"], "fingerprint": manifest["fingerprint"]}
    return made | {key: manifest[key] for key in ("weights", "config") if manifest.get(key)}


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the second and further runs of one name."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct
