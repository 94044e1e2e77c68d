"""Anomaly maps of a folder or catalog, from its pictures to a finished artifact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import pyarrow.compute as pc
from rich.console import Console

from millsight.evaluation.anomaly_maps import FILE, KIND, SCHEMA_VERSION
from millsight.platform import storage
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.catalog.sample import GOOD, Sample
from millsight.platform.commands import Outcome
from millsight.platform.errors import UserError
from millsight.platform.executors.local import resolve_device
from millsight.platform.fingerprints import Input, Recipe, digest
from millsight.platform.runs import StageRun, read_quarantine
from millsight.platform.stages import StageOutput
from millsight.pretraining.kead.commands import ExtractConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.references import choose_references, order_unlabelled
from millsight.pretraining.kead.stage import KeADStage
from millsight.pretraining.kead.unlabelled import Identity

SHOWN = 20


def extract_maps(config: ExtractConfig) -> Outcome:
    """Learn the categories, score what has not been scored, and say what came out."""
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
    categories = {sample.category for sample in wanted.samples}
    candidates = [sample for sample in candidates if sample.category in categories]
    references = _open_references(candidates, config)
    unlabelled = _unlabelled(config, wanted)
    kead = KeAD.load(config.kead, resolve_device(config.execution.device))
    for category in sorted(categories):
        drawn = islice(_decodable(unlabelled.get(category, ())), config.kead.unlabelled)
        kead.learn(category, references.get(category, []), drawn)
    return kead


def _unlabelled(config: ExtractConfig, wanted: Catalog) -> dict[str, list[Sample]]:
    """Return each category's pictures in the order in which unlabelled ones are taken."""
    if config.unlabelled is None:
        return order_unlabelled(wanted.samples, config.kead) if config.kead.unlabelled else {}
    if not config.kead.unlabelled:
        raise UserError(
            f"--unlabelled {config.unlabelled} is of use only with --kead.unlabelled N, the number "
            "of pictures to take: 50 is a good one."
        )
    found = load_data(config.unlabelled).samples
    categories = {sample.category for sample in wanted.samples}
    samples = [replace(sample, category=name) for name in categories for sample in found]
    return order_unlabelled(samples, config.kead)


def _decodable(samples: Sequence[Sample]) -> Iterator[tuple[Identity, np.ndarray]]:
    for sample in samples:
        if (picture := _decode(sample.uri)) is not None:
            yield Identity.of(sample), picture


def _open_references(
    candidates: Sequence[Sample], config: ExtractConfig
) -> dict[str, list[np.ndarray]]:
    """Draw and decode the normal pictures; where one is damaged, the draw is made without it."""
    if config.kead.k and not any(sample.defective is False for sample in candidates):
        raise UserError(
            f"--data {config.data}: no picture is known to be good, and KeAD compares with "
            f"{config.kead.k} good ones. Name a folder of them with --normals FOLDER, or do "
            "without: --kead.k 0 --kead.unlabelled 50 compares the pictures with each other, "
            "--kead.k 0 alone scores by the text of a CLIP model."
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
    try:
        return open_picture(uri)
    except PictureError:
        return None


def _recipe(wanted: Catalog, kead: KeAD) -> Recipe:
    # Maps depend on pixels and categories; a corrected label does not make them stale. Unlabelled
    # pictures of a scored picture's own group are left out, so with them groups count too.
    with_groups = bool(kead.config.unlabelled)
    pictures = digest(
        [[s.id, s.category, *([s.group] if with_groups else [])] for s in wanted.samples]
    )
    return Recipe(
        KIND,
        SCHEMA_VERSION,
        kead.describe(),
        inputs={"data": Input(pictures, wanted.uri)},
        weights={"encoder": kead.encoder.spec.weights.fingerprint},
    )


def write_maps(merged: StageOutput, draft: Draft) -> dict[str, float]:
    """Write ``maps.parquet`` and return headline numbers: the payload of a ``maps`` artifact."""
    storage.write_table(draft.file(FILE), merged.rows)
    grids = pc.sum(pc.binary_length(merged.rows["grid"])).as_py() or 0
    return {"map_bytes_per_picture": grids / max(merged.rows.num_rows, 1)}


def _print_summary(outcome: Outcome) -> None:
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
