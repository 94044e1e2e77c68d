"""``millsight finetune classification``; light to import."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from millsight.platform.artifacts import Artifact
from millsight.platform.commands import Outcome
from millsight.platform.fingerprints import Recipe
from millsight.pretraining.downstream.classification.config import ClassificationConfig
from millsight.pretraining.downstream.commands import FinetuneConfig, by_seed, run_once

KIND = "classification"
SEEDS_KIND = "classification_seeds"
# Sub-directory with what ``load_classifier`` reads.
CLASSIFIER = "classifier"
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class FinetuneClassificationConfig(FinetuneConfig):
    """Settings of ``millsight finetune classification``.

    Attributes:
        training: What decides the weights, but for ``seed``.
    """

    training: ClassificationConfig = field(default_factory=ClassificationConfig)


def classification(config: FinetuneClassificationConfig) -> Outcome:
    """Finetune a classifier on labelled pictures, once per seed, and predict a split."""
    config.training.check()
    config.execution.check()
    settings = by_seed(config)
    from millsight.pretraining.downstream.judging import CLASSIFICATION
    from millsight.pretraining.downstream.seeds import gather

    runs = {seed: finetune(of_seed) for seed, of_seed in settings.items()}
    return gather(config, SEEDS_KIND, runs, CLASSIFICATION)


def finetune(config: FinetuneClassificationConfig) -> Artifact:
    """Finetune with the one seed of ``config.training``, unless that is done."""
    from millsight.platform.catalog.catalog import load_data
    from millsight.platform.catalog.synthetic_sets import open_sets
    from millsight.platform.weights import load_weights
    from millsight.pretraining.downstream.classification.run import Sources, make
    from millsight.pretraining.downstream.extra import as_settings

    catalog = load_data(config.data, config.layout, config.category)
    start = load_weights(config.training.backbone)
    sources = Sources(catalog, start, open_sets(config.extra, "--extra"))
    settings = asdict(config.training) | {"split": config.split, "formats": config.formats}
    settings |= as_settings(sources.extra, config.extra_share)
    recipe = Recipe(
        KIND, SCHEMA_VERSION, settings, sources.inputs(), {"backbone": start.fingerprint}
    )
    return run_once(config, recipe, lambda draft, tracker: make(config, sources, draft, tracker))
