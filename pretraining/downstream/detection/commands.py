"""``millsight finetune detection``; light to import."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.commands import EXIT_QUARANTINED, Outcome, TrainingCommandConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, track
from millsight.pretraining.downstream.detection.config import FinetuningConfig

KIND = "detection"
SEEDS_KIND = "detection_seeds"
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class FinetuneDetectionConfig(TrainingCommandConfig):
    """Settings of ``millsight finetune detection``.

    Attributes:
        data: Folder of pictures with boxes in any layout, or a catalog; learns from its ``train``
            split.
        layout: Of ``data``; ``auto`` looks at the folder.
        category: Material and line; only this one of a catalog that has several.
        split: Predicted with the finetuned detector; its truth goes into the result table alone.
        seeds: One training each: of the pictures drawn, new layers, order and augmentation.
        extra: Sets of synthetic pictures (``millsight generate sample``) to learn beside the
            labelled ones; none is validated or predicted.
        training: What decides the weights, but for ``seed``.
        formats: Written beside the weights and checked: ``onnx``.
        loaders: Processes that read pictures ahead; 0 reads them between the steps.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    split: str = "test"
    seeds: list[int] = field(default_factory=lambda: [0])
    extra: list[str] = field(default_factory=list)
    training: FinetuningConfig = field(default_factory=FinetuningConfig)
    formats: list[Literal["onnx"]] = field(default_factory=list)
    loaders: int = 0


def detection(config: FinetuneDetectionConfig) -> Outcome:
    """Finetune a detector on labelled pictures, once per seed, and predict a split."""
    config.training.check()
    config.execution.check()
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise UserError(f"--seeds {config.seeds}: at least one, each once.")
    from millsight.pretraining.downstream.detection.seeds import describe, write

    runs = {seed: finetune(_of_seed(config, seed)) for seed in config.seeds}
    inputs = {f"seed_{seed}": run.as_input() for seed, run in runs.items()}
    recipe = Recipe(SEEDS_KIND, SCHEMA_VERSION, {}, inputs)
    path = config.path(recipe)
    artifact = replace(config, resume=False).find(recipe)
    if artifact is None:
        with drafting(path, recipe) as draft:
            artifact = draft.commit(write(draft, runs))
    print(describe(artifact))
    print(artifact.path)
    set_aside = any(run.manifest["metrics"]["quarantined"] for run in runs.values())
    return Outcome(EXIT_QUARANTINED if set_aside else 0, artifact)


def finetune(config: FinetuneDetectionConfig) -> Artifact:
    """Finetune with the one seed of ``config.training``, unless that is done."""
    from millsight.platform.catalog.catalog import load_data
    from millsight.pretraining.downstream.detection.extra import open_extra
    from millsight.pretraining.downstream.detection.run import Sources, make
    from millsight.pretraining.downstream.detection.start import load_start

    catalog = load_data(config.data, config.layout, config.category)
    sources = Sources(catalog, load_start(config.training), open_extra(config.extra))
    settings = asdict(config.training) | {"weights": None, "split": config.split}
    settings["formats"] = config.formats
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        settings,
        sources.inputs(),
        sources.start.fingerprints(),
    )
    path = config.path(recipe)
    artifact = config.find(recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
            metrics = make(config, sources, draft, tracker)
            tracker.summary(metrics)
            artifact = draft.commit(metrics)
    print(json.dumps(artifact.manifest["metrics"], indent=2))
    return artifact


def _of_seed(config: FinetuneDetectionConfig, seed: int) -> FinetuneDetectionConfig:
    """Return one seed's settings; a run that is resumed may not have come to its later seeds."""
    resume = config.resume and seed == config.seeds[0]
    training = replace(config.training, seed=seed)
    return replace(config, output=None, resume=resume, training=training)
