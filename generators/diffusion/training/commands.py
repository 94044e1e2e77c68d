"""``millsight generate train``; light to import."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from millsight.generators.diffusion.training.config import AdaptationConfig
from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.commands import Outcome, TrainingCommandConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, track

if TYPE_CHECKING:
    from millsight.generators.diffusion.base import BaseModel
    from millsight.platform.catalog.catalog import Catalog
    from millsight.platform.catalog.sample import Sample
    from millsight.platform.weights import LoadedWeights

KIND = "adapter"
SCHEMA_VERSION = 1
# Of one class in the validation split: KID needs two pictures.
LEAST_VALIDATED = 2


@dataclass(frozen=True)
class Sources:
    """What an adapter is made from.

    Attributes:
        base: Model that is adapted.
        features: In whose features checkpoints are judged.
        labels: Classes.
        learned: Pictures of the training split.
        validated: Pictures of the validation split.
    """

    base: BaseModel
    features: LoadedWeights
    labels: tuple[str, ...]
    learned: Sequence[Sample]
    validated: Sequence[Sample]


@dataclass(kw_only=True)
class GenerateTrainConfig(TrainingCommandConfig):
    """Settings of ``millsight generate train``.

    Attributes:
        data: Labelled pictures with a training and a validation split: a catalog or a folder.
        training: What decides the adapter.
        each: Whether every class gets an adapter, and an artifact, of its own.
        allow_non_commercial: Accept a base model whose licence forbids commercial use.
    """

    data: str
    training: AdaptationConfig = field(default_factory=AdaptationConfig)
    each: bool = False
    allow_non_commercial: bool = False


def train(config: GenerateTrainConfig) -> Outcome:
    """Adapt a base model to defect classes by new tokens and low-rank weights."""
    config.training.check()
    config.execution.check()
    if config.each and config.output is not None:
        raise UserError("--output names one directory, --each makes several; use --workspace.")
    from millsight.generators.diffusion.base import open_base
    from millsight.generators.diffusion.training.crops import choose
    from millsight.generators.masks.sources import defect_classes, of_split
    from millsight.platform.catalog.catalog import load_data
    from millsight.platform.weights import load_weights

    base = open_base(
        config.training.base,
        vae=config.training.vae,
        allow_non_commercial=config.allow_non_commercial,
    )
    print(f"Base model {base.source}: licence {base.license}")
    features = load_weights(config.training.features)
    catalog = load_data(config.data)
    labels = config.training.labels or defect_classes(of_split(catalog, "train"))
    if not labels:
        raise UserError(
            f"--data {config.data}: no defect in the train split. Divide the pictures with "
            "`millsight data split`."
        )
    groups = [(label,) for label in labels] if config.each else [tuple(labels)]
    # All are looked at before the first is trained.
    sources = [
        Sources(
            base,
            features,
            group,
            choose(catalog, group, "train", 1),
            choose(catalog, group, "val", LEAST_VALIDATED),
        )
        for group in groups
    ]
    made = [_train_one(config, catalog, own) for own in sources]
    return Outcome(artifact=made[-1])


def _train_one(config: GenerateTrainConfig, catalog: Catalog, sources: Sources) -> Artifact:
    """Make one adapter, or find it made already."""
    from millsight.generators.diffusion.training.run import make

    settings = asdict(config.training) | {"labels": list(sources.labels)}
    samples = [*sources.learned, *sources.validated]
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        settings,
        {"data": catalog.with_samples(samples).as_input()},
        {"base": sources.base.fingerprint, "features": sources.features.fingerprint},
    )
    artifact = config.find(recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        with (
            drafting(config.path(recipe), recipe) as draft,
            track(config.tracking, info) as tracker,
        ):
            metrics = make(config, sources, draft, tracker)
            tracker.summary(metrics)
            artifact = draft.commit(metrics)
    else:
        print("Trained already:")
    print(json.dumps(artifact.manifest["metrics"], indent=2))
    print(artifact.path)
    return artifact
