"""Rounds of requests on an executor, judged and exported, until the set is full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from millsight.generators.export.card import Card, Reason, write_card
from millsight.generators.export.export import Exported, export, write_zip
from millsight.generators.export.files import provenance_of
from millsight.generators.export.lines import Lines, lines, write_lines
from millsight.generators.filters.chain import FilterChain
from millsight.generators.filters.collection import Collection
from millsight.generators.filters.table import ALL
from millsight.generators.masks.sources import defect_classes, of_split
from millsight.generators.production.commands import ENGINES, GenerateSampleConfig
from millsight.generators.production.engines import (
    EngineBuilder,
    EngineConfig,
    build_engine,
    choose_materials,
)
from millsight.generators.production.rounds import Answer, judged, read_shard
from millsight.generators.production.sheets import Sheets
from millsight.generators.production.stage import GenerationStage, as_sample
from millsight.generators.samples import Generated, Materials
from millsight.platform.anomaly_scorers import load_scorer
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.errors import UserError
from millsight.platform.executors.local import resolve_device
from millsight.platform.progress import Progress, progress_bar
from millsight.platform.runs import GivenUpError
from millsight.platform.shards import Shard, ShardStore, make_shards
from millsight.platform.tracking import Tracker
from millsight.platform.weights import load_weights

SET = "set"
ARCHIVE = "set.zip"
REJECTED = "rejected.jsonl"


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
    materials = find_materials(config, catalog)
    weights = {"features": load_weights(config.filters.network).fingerprint}
    if ENGINES[config.spec.mode] != "diffusion":
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


def find_materials(config: GenerateSampleConfig, catalog: Catalog) -> Materials:
    """Choose the real pictures that an engine may use.

    Raises:
        UserError: If the training split has no picture of the class, or lacks one that is named.
    """
    label = config.spec.label
    materials = choose_materials(catalog, label, plates=config.plates, defects=config.defects)
    if not materials.defects:
        known = defect_classes(of_split(catalog, "train"))
        raise UserError(
            f"--spec.label {label}: the training split of {config.data} has no real picture of "
            f"that class to make more of; there are {', '.join(known) or 'no defect at all'}."
        )
    return materials


def produce(
    config: GenerateSampleConfig, sources: Sources, draft: Draft, tracker: Tracker
) -> dict[str, Any]:
    """Make, judge and write the set; return the artifact's metrics.

    Raises:
        UserError: If the materials do not allow it.
        GivenUpError: If workers failed for good; what has landed is kept.
    """
    store = ShardStore(draft.path)
    with _answering(config, sources.materials, store) as answer:
        if config.only:
            return _redo(config, sources, draft, answer)
        return _fill(config, sources, draft, tracker, answer)


def _fill(
    config: GenerateSampleConfig, sources: Sources, draft: Draft, tracker: Tracker, answer: Answer
) -> dict[str, Any]:
    """Make samples until the set is full or the budget is spent."""
    device = resolve_device(config.execution.device)
    with progress_bar("Looking at real pictures") as progress:
        chain = calibrate(config, sources.catalog, device, progress)
    collection = Collection(config.spec, chain, config.budget)
    sheets, store = Sheets(), ShardStore(draft.path)

    def accepted(rejected: Lines) -> Iterator[Generated]:
        for _, batch in judged(collection, answer, store, config.execution.shard_size):
            for generated in batch:
                sheets.add(generated)
                if generated.accepted:
                    yield generated
                else:
                    rejected.add(provenance_of(generated))
            tracker.log({"accepted": collection.accepted, "attempts": collection.attempts})

    with lines() as rejected:
        made = accepted(rejected)
        exported = export(made, draft.file(SET), config.format, (config.spec.label,))
        write_lines(draft.file(REJECTED), rejected)
    print(collection.to_text())
    sheets.write(draft, tracker)
    found = collection.summary()
    _finish(config, draft, exported, card_of(config, sources, found))
    return found | {"filters": chain.describe()}


def calibrate(
    config: GenerateSampleConfig, catalog: Catalog, device: str, progress: Progress
) -> FilterChain:
    """Look at the real pictures and set the filters' limits.

    Raises:
        UserError: If a setting is wrong, or there are no real pictures to learn from.
    """
    scorer = None
    if config.scorer is not None:
        scorer = load_scorer(config.scorer, catalog.samples, device)
    return FilterChain.calibrate(
        catalog, config.filters, scorer=scorer, device=device, progress=progress
    )


def stage_of(
    config: GenerateSampleConfig, materials: Materials, build: EngineBuilder = build_engine
) -> GenerationStage:
    """Return what answers a set's requests."""
    engines = EngineConfig(config.procedural, config.copy_paste, config.diffusion)
    return GenerationStage(config.spec, engines, materials, config.budget.batch_size, build)


def card_of(
    config: GenerateSampleConfig, sources: Sources, found: Mapping[str, Any], *more: Reason
) -> Card:
    """Describe a set.

    Args:
        config: What was asked for.
        sources: What it was made from.
        found: ``Collection.summary()``.
        more: Why else pictures are not in it.
    """
    engine = ENGINES[config.spec.mode]
    diffusion = engine == "diffusion"
    reasons = [
        Reason(row["filter"], row["judged"], row["rejected"])
        for row in found["table"]
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
        tried=found["attempts"],
        reasons=[*reasons, *more],
        lineage={"data": f"{sources.catalog.uri} ({sources.catalog.fingerprint[:16]})"},
        settings=_settings(config, engine),
    )


def _settings(config: GenerateSampleConfig, engine: str) -> dict[str, Any]:
    """Return what a data card tells of the settings; what narrows nothing is left out."""
    chosen = {"scorer": config.scorer, "plates": config.plates, "defects": config.defects}
    told = {name: value for name, value in chosen.items() if value}
    drawn = {engine: asdict(getattr(config, engine)), "filters": asdict(config.filters)}
    return asdict(config.spec) | drawn | told


@contextmanager
def _answering(
    config: GenerateSampleConfig, materials: Materials, store: ShardStore
) -> Iterator[Answer]:
    """Keep engines, once built, for all rounds."""
    with config.execution.build().pool(stage_of(config, materials), store) as pool:

        def answer(shards: Sequence[Shard]) -> Iterator[Shard]:
            report = pool.run(shards)
            if report.failed:
                raise GivenUpError(report)
            yield from shards

        yield answer


def _redo(
    config: GenerateSampleConfig, sources: Sources, draft: Draft, answer: Answer
) -> dict[str, Any]:
    """Make the samples that ``only`` names."""
    store, spec = ShardStore(draft.path), config.spec
    requests = config.only_requests()
    shards = make_shards([as_sample(one) for one in requests], config.execution.shard_size)
    made = (one for shard in answer(shards) for one in read_shard(store, shard.id, spec))
    exported = export(made, draft.file(SET), config.format, (spec.label,))
    count = len(requests)
    found = {"wanted": count, "accepted": count, "attempts": count, "table": []}
    _finish(config, draft, exported, card_of(config, sources, found))
    return found


def _finish(config: GenerateSampleConfig, draft: Draft, exported: Exported, card: Card) -> None:
    write_card(card, exported)
    if config.zip:
        write_zip(exported.folder, draft.file(ARCHIVE))
