"""``millsight pretrain backbone``; light to import."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from millsight.platform.artifacts import drafting
from millsight.platform.commands import Outcome, TrainingCommandConfig
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, track
from millsight.pretraining.backbone.config import BackboneConfig

KIND = "backbone"
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class PretrainBackboneConfig(TrainingCommandConfig):
    """Settings of ``millsight pretrain backbone``.

    Attributes:
        maps: Artifacts of ``millsight extract``: the pictures to learn from, with their maps.
        training: What decides the weights.
        gate: Refuse maps from which nothing can be learnt.
        masks: Folder or catalog that has true masks of some of these pictures; nothing is learnt
            from them. The attention that lies on them is measured before and after.
        loaders: Processes that read pictures ahead; 0 reads them between the steps.
    """

    maps: list[str]
    training: BackboneConfig = field(default_factory=BackboneConfig)
    gate: bool = True
    masks: str | None = None
    loaders: int = 0


def pretrain(config: PretrainBackboneConfig) -> Outcome:
    """Pretrain a backbone on unlabelled pictures, its attention guided by anomaly maps (AGBP)."""
    config.training.check()
    config.execution.check()
    from millsight.platform.weights import load_weights
    from millsight.pretraining.backbone.run import make, open_sources

    sources = open_sources(config.maps, config.masks)
    loaded = load_weights(config.training.source)
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        asdict(config.training),
        sources.inputs(),
        {"backbone": loaded.fingerprint},
    )
    path = config.path(recipe)
    artifact = config.find(recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
            metrics = make(config, sources, loaded, draft, tracker)
            tracker.summary(metrics)
            artifact = draft.commit(metrics)
    else:
        print("Trained already:")
    print(json.dumps(artifact.manifest["metrics"], indent=2))
    print(f"{artifact.path}\nuse it as path:{artifact.path}/backbone")
    return Outcome(artifact=artifact)
