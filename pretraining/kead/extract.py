"""``millsight extract``: anomaly maps of a folder or catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from millsight.platform.catalog.sample import GOOD, Sample
from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.executors import ExecutionConfig
from millsight.platform.tracking import TrackingConfig
from millsight.pretraining.kead.config import KeADConfig

if TYPE_CHECKING:
    import numpy as np

    from millsight.platform.artifacts import Draft
    from millsight.platform.catalog.catalog import Catalog
    from millsight.platform.fingerprints import Recipe
    from millsight.platform.stages import StageOutput
    from millsight.pretraining.kead.kead import KeAD

SHOWN = 20


@dataclass(kw_only=True)
class ExtractConfig(OutputConfig):
    """Settings of ``millsight extract``.

    Attributes:
        data: Folder of pictures in any layout, or a catalog.
        normals: Folder of pictures without defects for the memory bank; by default the pictures
            of ``data`` that are labelled good, from its training split where it has splits.
        split: Score only this split of ``data``.
        category: Material and line, which also chooses the prompts; by default the folder's name.
        layout: Of ``data``; ``auto`` looks at the folder.
        kead: The method.
        execution: Where it runs.
        tracking: Who is told.
        batch_size: Pictures per forward pass.
    """

    data: str
    normals: str | None = None
    split: str | None = None
    category: str | None = None
    layout: str = "auto"
    kead: KeADConfig = field(default_factory=KeADConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    batch_size: int = 16


def extract(config: ExtractConfig) -> Outcome:
    """Score pictures with KeAD: an anomaly map and a score for each, without training."""
    from millsight.platform.catalog.catalog import load_data
    from millsight.platform.runs import StageRun
    from millsight.pretraining.kead.stage import KeADStage

    catalog = load_data(config.data, config.layout, config.category)
    wanted = catalog.where(split=config.split) if config.split else catalog
    if not wanted.samples:
        raise UserError(f"--split {config.split}: no picture of {config.data} is in it.")
    kead = _learn(config, wanted, _references(config, catalog))
    recipe = _recipe(wanted, kead)
    run = StageRun(
        recipe, config.path(recipe), config.execution, config.tracking, catalog.quarantined
    )
    if done := run.finished():
        print("Extracted already.")
        _print_summary(done)
        return done
    outcome = run.run(KeADStage(kead, config.batch_size), wanted.samples, write_maps)
    _print_summary(outcome)
    return outcome


def _references(config: ExtractConfig, catalog: Catalog) -> Sequence[Sample]:
    """Return the pictures that memory banks are drawn from, all known to be good."""
    from millsight.platform.catalog.catalog import load_data

    if config.normals is None:
        return catalog.samples
    found = load_data(config.normals)
    categories = sorted({sample.category for sample in catalog.samples})
    return [
        replace(sample, category=category, label=GOOD, split=None)
        for category in categories
        for sample in found.samples
        if not sample.defective
    ]


def _learn(config: ExtractConfig, wanted: Catalog, candidates: Sequence[Sample]) -> KeAD:
    from millsight.platform.executors.local import resolve_device
    from millsight.pretraining.kead.kead import KeAD

    categories = {sample.category for sample in wanted.samples}
    candidates = [sample for sample in candidates if sample.category in categories]
    references = _open_references(candidates, config)
    kead = KeAD.load(config.kead, resolve_device(config.execution.device))
    for category in sorted(categories):
        kead.learn(category, references.get(category, []))
    return kead


def _open_references(
    candidates: Sequence[Sample], config: ExtractConfig
) -> dict[str, list[np.ndarray]]:
    """Draw and decode the normal pictures; where one is damaged, the draw is made without it."""
    from millsight.pretraining.kead.references import choose_references

    if config.kead.k and not any(sample.defective is False for sample in candidates):
        raise UserError(
            f"--data {config.data}: no picture is known to be good, and KeAD compares with "
            f"{config.kead.k} good ones. Name a folder of them with --normals FOLDER, or score by "
            "the text alone with --kead.k 0."
        )
    usable = list(candidates)
    while True:
        references = choose_references(usable, config.kead)
        drawn = {sample.uri for samples in references.values() for sample in samples}
        opened = {uri: picture for uri in drawn if (picture := _decode(uri)) is not None}
        if len(opened) == len(drawn):
            return {name: [opened[s.uri] for s in found] for name, found in references.items()}
        usable = [sample for sample in usable if sample.uri not in drawn - opened.keys()]


def _decode(uri: str) -> np.ndarray | None:
    from millsight.platform.catalog.pictures import PictureError, open_picture

    try:
        return open_picture(uri)
    except PictureError:
        return None


def _recipe(wanted: Catalog, kead: KeAD) -> Recipe:
    from millsight.evaluation.anomaly_maps import KIND, SCHEMA_VERSION
    from millsight.platform.fingerprints import Input, Recipe, digest

    # Maps depend on pixels and categories; a corrected label does not make them stale.
    pictures = digest([[sample.id, sample.category] for sample in wanted.samples])
    return Recipe(
        KIND,
        SCHEMA_VERSION,
        kead.describe(),
        inputs={"data": Input(pictures, wanted.uri)},
        weights={"encoder": kead.encoder.spec.weights.fingerprint},
    )


def write_maps(merged: StageOutput, draft: Draft) -> dict[str, float]:
    """Write ``maps.parquet`` and return headline numbers: the payload of a ``maps`` artifact."""
    import pyarrow.compute as pc

    from millsight.evaluation.anomaly_maps import FILE
    from millsight.platform import storage

    storage.write_table(draft.file(FILE), merged.rows)
    grids = pc.sum(pc.binary_length(merged.rows["grid"])).as_py() or 0
    return {"map_bytes_per_picture": grids / max(merged.rows.num_rows, 1)}


def _print_summary(outcome: Outcome) -> None:
    from rich.console import Console

    from millsight.platform.runs import read_quarantine

    if outcome.artifact is None:
        return
    console = Console(markup=False, soft_wrap=True, highlight=False)
    metrics = outcome.artifact.manifest["metrics"]
    console.print(
        f"{metrics['pictures']} maps, {metrics['quarantined']} pictures quarantined: "
        f"{outcome.artifact.path}"
    )
    for item in read_quarantine(outcome.artifact)[:SHOWN]:
        console.print(f"  {item.uri}: {item.reason}")
    if metrics["quarantined"] > SHOWN:
        console.print(f"  and {metrics['quarantined'] - SHOWN} more in quarantine.json")
