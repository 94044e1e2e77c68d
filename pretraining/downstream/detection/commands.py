"""``millsight finetune detection``; light to import."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from millsight.platform.artifacts import Artifact
from millsight.platform.commands import Outcome
from millsight.platform.fingerprints import Recipe
from millsight.pretraining.detector.commands import FINETUNED_KIND
from millsight.pretraining.downstream.commands import FinetuneConfig, by_seed, run_once
from millsight.pretraining.downstream.detection.config import FinetuningConfig

KIND = FINETUNED_KIND
SEEDS_KIND = "detection_seeds"
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class FinetuneDetectionConfig(FinetuneConfig):
    """Settings of ``millsight finetune detection``.

    Attributes:
        weights: Artifact with a detector to start from, of ``millsight pretrain detector`` or of an
            earlier finetuning: all but the layers that depend on other classes. Family, backbone,
            image size and width are then its own. By default a new one on ``training.backbone``.
        training: What decides the weights, but for ``seed``.
    """

    weights: str | None = None
    training: FinetuningConfig = field(default_factory=FinetuningConfig)


def detection(config: FinetuneDetectionConfig) -> Outcome:
    """Finetune a detector on labelled pictures, once per seed, and predict a split."""
    config.training.check()
    config.execution.check()
    settings = by_seed(config)
    from millsight.pretraining.downstream.judging import DETECTION
    from millsight.pretraining.downstream.seeds import gather

    runs = {seed: finetune(of_seed) for seed, of_seed in settings.items()}
    return gather(config, SEEDS_KIND, runs, DETECTION)


def finetune(config: FinetuneDetectionConfig) -> Artifact:
    """Finetune with the one seed of ``config.training``, unless that is done."""
    from millsight.platform.catalog.catalog import load_data
    from millsight.platform.catalog.synthetic_sets import open_sets
    from millsight.pretraining.detector.start import load_start
    from millsight.pretraining.downstream.detection.run import Sources, make
    from millsight.pretraining.downstream.extra import as_settings

    catalog = load_data(config.data, config.layout, config.category)
    sources = Sources(
        catalog, load_start(config.weights, config.training), open_sets(config.extra, "--extra")
    )
    settings = asdict(config.training) | {"split": config.split, "formats": config.formats}
    settings |= as_settings(sources.extra, config.extra_share)
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        settings,
        sources.inputs(),
        sources.start.fingerprints(),
    )
    return run_once(config, recipe, lambda draft, tracker: make(config, sources, draft, tracker))
