"""``millsight finetune multitask``; light to import."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from millsight.platform.artifacts import drafting
from millsight.platform.commands import EXIT_QUARANTINED, Outcome, TrainingCommandConfig
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, track
from millsight.pretraining.downstream.multitask.config import MultitaskConfig

KIND = "multitask"
SCHEMA_VERSION = 2


@dataclass(kw_only=True)
class FinetuneMultitaskConfig(TrainingCommandConfig):
    """Settings of ``millsight finetune multitask``.

    Attributes:
        data: Folder of pictures in any layout, or a catalog; learns from its ``train`` split.
        layout: Of ``data``; ``auto`` looks at the folder.
        category: Material and line; only this one of a catalog that has several.
        split: Predicted with the trained model; its truth goes into the result table alone.
        training: What decides the weights.
        formats: Written beside the weights and checked: ``torch_export`` and ``onnx``.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    split: str = "test"
    training: MultitaskConfig = field(default_factory=MultitaskConfig)
    formats: list[Literal["torch_export", "onnx"]] = field(default_factory=list)


def multitask(config: FinetuneMultitaskConfig) -> Outcome:
    """Train masks and a ship-or-stop decision on one encoder, then predict a split."""
    return finetune(config, None)


def finetune(config: FinetuneMultitaskConfig, kept: Any) -> Outcome:
    """Do what ``multitask`` does; pictures in ``kept`` are not read again (``data.Kept``)."""
    config.training.check()
    config.execution.check()
    from millsight.platform.catalog.catalog import load_data
    from millsight.platform.weights import load_weights
    from millsight.pretraining.downstream.multitask.run import make
    from millsight.pretraining.downstream.parts import split_catalog

    catalog = load_data(config.data, config.layout, config.category)
    parts = split_catalog(
        catalog,
        data=config.data,
        split=config.split,
        holdout=config.training.holdout,
        seed=config.training.seed,
    )
    loaded = load_weights(config.training.encoder)
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        asdict(config.training) | {"split": config.split, "formats": sorted(config.formats)},
        {"data": catalog.as_input()},
        {"encoder": loaded.fingerprint},
    )
    path = config.path(recipe)
    artifact = config.find(recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
            metrics = make(config, parts, loaded, draft, tracker, kept=kept)
            tracker.summary(metrics)
            artifact = draft.commit(metrics)
    else:
        print("Trained already:")
    print(json.dumps(artifact.manifest["metrics"], indent=2))
    print(artifact.path)
    set_aside = artifact.manifest["metrics"]["quarantined"]
    return Outcome(EXIT_QUARANTINED if set_aside else 0, artifact)
