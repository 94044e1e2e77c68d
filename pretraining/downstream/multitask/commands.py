"""``millsight finetune multitask``; light to import."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from millsight.platform.commands import EXIT_QUARANTINED, Outcome, TrainingCommandConfig
from millsight.platform.fingerprints import Recipe
from millsight.pretraining.downstream.commands import run_once
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
        extra: Sets of synthetic pictures (``millsight generate sample``) to learn beside the
            labelled ones; none is validated or predicted.
        extra_share: How often a synthetic picture takes the place of a labelled one with its class;
            a training has as many steps, and as many of each class, with them as without.
        training: What decides the weights.
        formats: Written beside the weights and checked: ``torch_export`` and ``onnx``.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    split: str = "test"
    extra: list[str] = field(default_factory=list)
    extra_share: float = 0.5
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
    from millsight.platform.catalog.synthetic_sets import open_sets
    from millsight.platform.weights import load_weights
    from millsight.pretraining.downstream.extra import as_inputs, as_settings
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
    extra = open_sets(config.extra, "--extra")
    settings = asdict(config.training) | {"split": config.split}
    settings |= {"formats": sorted(config.formats)} | as_settings(extra, config.extra_share)
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        settings,
        {"data": catalog.as_input()} | as_inputs(extra),
        {"encoder": loaded.fingerprint},
    )
    artifact = run_once(
        config,
        recipe,
        lambda draft, tracker: make(config, parts, loaded, draft, tracker, extra=extra, kept=kept),
    )
    print(artifact.path)
    set_aside = artifact.manifest["metrics"]["quarantined"]
    return Outcome(EXIT_QUARANTINED if set_aside else 0, artifact)
