"""Rounds of requests on an executor, judged and exported, until the set is full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from millsight.generators.export.card import Card, Reason, write_card
from millsight.generators.export.export import export, write_zip
from millsight.generators.filters.chain import FilterChain
from millsight.generators.filters.collection import Collection
from millsight.generators.filters.table import ALL
from millsight.generators.production.commands import ENGINES, GenerateSampleConfig
from millsight.generators.production.engines import EngineConfig, choose_materials
from millsight.generators.production.rows import from_row
from millsight.generators.production.sheets import Sheets
from millsight.generators.production.stage import GenerationStage, as_sample
from millsight.generators.samples import Generated, Materials
from millsight.platform.anomaly_scorers import load_scorer
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.errors import UserError
from millsight.platform.executors.local import resolve_device
from millsight.platform.progress import progress_bar
from millsight.platform.runs import GivenUpError
from millsight.platform.shards import ShardStore, make_shards
from millsight.platform.tracking import Tracker
from millsight.platform.weights import load_weights

SET = "set"
ARCHIVE = "set.zip"


@dataclass(frozen=True)
class Sources:
    """What a set is made from.

    Attributes:
        catalog: Real pictures.
        materials: Those of them that an engine may use.
        weights: Fingerprints of everything learnt that takes part, by role.
        terms: Licence of the base model; empty where there is none.
    """

    catalog: Catalog
    materials: Materials
    weights: Mapping[str, str]
    terms: str = ""


def open_sources(config: GenerateSampleConfig) -> Sources:
    """Open the real pictures, and name the weights that decide the set.

    Raises:
        UserError: If data, base model or adapter cannot be opened, or the training split has no
            picture of the class.
    """
    catalog = load_data(config.data, layout=config.layout)
    if config.category is not None:
        catalog = catalog.where(category=config.category)
    spec = config.spec
    materials = choose_materials(catalog, spec.label)
    if not materials.defects:
        known = sorted({one.label for one in catalog if one.defective and one.label})
        raise UserError(
            f"--spec.label {spec.label}: the training split of {config.data} has no real picture "
            f"of that class to make more of; there are {', '.join(known) or 'no defect at all'}."
        )
    weights = {"features": load_weights(config.filters.network).fingerprint}
    if ENGINES[spec.mode] != "diffusion":
        return Sources(catalog, materials, weights)
    from millsight.generators.diffusion.adapters import open_adapter
    from millsight.generators.diffusion.base import open_base

    settings = config.diffusion
    base = open_base(
        settings.base, vae=settings.vae, allow_non_commercial=settings.allow_non_commercial
    )
    weights["base"] = base.fingerprint
    if settings.adapter is not None:
        weights["adapter"] = open_adapter(settings.adapter, base).sha256
    return Sources(catalog, materials, weights, base.license.name)


def produce(
    config: GenerateSampleConfig, sources: Sources, draft: Draft, tracker: Tracker
) -> dict[str, Any]:
    """Make, judge and write the set; return the artifact's metrics.

    Raises:
        UserError: If the materials do not allow it.
        GivenUpError: If workers failed for good; what has landed is kept.
    """
    spec = config.spec
    device = resolve_device(config.execution.device)
    scorer = None
    if config.scorer is not None:
        scorer = load_scorer(config.scorer, sources.catalog.samples, device)
    with progress_bar("Looking at real pictures") as progress:
        chain = FilterChain.calibrate(
            sources.catalog, config.filters, scorer=scorer, device=device, progress=progress
        )
    collection = Collection(spec, chain, config.budget)
    sheets = Sheets()
    made = _make(config, sources.materials, collection, draft, tracker)
    exported = export(_accepted(made, sheets), draft.file(SET), config.format, (spec.label,))
    print(collection.to_text())
    sheets.write(draft)
    write_card(_card(config, sources, collection), exported)
    if config.zip:
        write_zip(exported.folder, draft.file(ARCHIVE))
    return collection.summary() | {"filters": chain.describe()}


def _make(
    config: GenerateSampleConfig,
    materials: Materials,
    collection: Collection,
    draft: Draft,
    tracker: Tracker,
) -> Iterator[Generated]:
    """Yield every sample that was tried, with its verdicts, round by round."""
    engines = EngineConfig(config.procedural, config.copy_paste, config.diffusion)
    stage = GenerationStage(config.spec, engines, materials, config.budget.batch_size)
    store = ShardStore(draft.path)
    while requests := collection.round():
        shards = make_shards([as_sample(one) for one in requests], config.execution.shard_size)
        report = config.execution.build().run(stage, shards, store)
        if report.failed:
            raise GivenUpError(report)
        for shard in shards:
            rows = store.read(shard.id).rows.to_pylist()
            yield from collection.judge([from_row(row, config.spec) for row in rows])
        tracker.log({"accepted": collection.accepted, "attempts": collection.attempts})


def _accepted(made: Iterator[Generated], sheets: Sheets) -> Iterator[Generated]:
    for generated in made:
        sheets.add(generated)
        if generated.accepted:
            yield generated


def _card(config: GenerateSampleConfig, sources: Sources, collection: Collection) -> Card:
    engine = ENGINES[config.spec.mode]
    diffusion = engine == "diffusion"
    reasons = [
        Reason(row["filter"], row["judged"], row["rejected"])
        for row in collection.table.rows()
        if row["filter"] != ALL
    ]
    terms = f" Base model: {sources.terms}." if diffusion else ""
    adapter = config.diffusion.adapter if diffusion else None
    base = f"{config.diffusion.base} ({sources.weights['base'][:16]})" if diffusion else None
    return Card(
        title=f"Synthetic {config.spec.label}, {config.spec.mode}",
        license=f"That of the real pictures it was made from.{terms}",
        base_model=base,
        adapters={} if adapter is None else {adapter: sources.weights["adapter"]},
        seeds=(config.spec.seed,),
        tried=collection.attempts,
        reasons=reasons,
        lineage={"data": f"{sources.catalog.uri} ({sources.catalog.fingerprint[:16]})"},
        settings=asdict(config.spec) | {engine: asdict(getattr(config, engine))},
    )
