"""Settings that the finetuning commands share; light to import."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from millsight.platform.artifacts import Artifact, Draft, drafting
from millsight.platform.commands import TrainingCommandConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, Tracker, track

Config = TypeVar("Config", bound="FinetuneConfig")


@dataclass(kw_only=True)
class FinetuneConfig(TrainingCommandConfig):
    """What is learnt from and predicted.

    Attributes:
        data: Folder of labelled pictures in any layout, or a catalog; learns from its ``train``
            split.
        layout: Of ``data``; ``auto`` looks at the folder.
        category: Material and line; only this one of a catalog that has several.
        split: Predicted with the finetuned network; its truth goes into the result table alone.
        seeds: One training each: of the pictures drawn, new layers, order and augmentation.
        extra: Sets of synthetic pictures (``millsight generate sample``) to learn beside the
            labelled ones; none is validated or predicted.
        extra_share: How often a synthetic picture takes the place of a labelled one with its class;
            a training has as many steps, and as many of each class, with them as without.
        training: What decides the weights, with a ``seed``.
        formats: Written beside the weights and checked: ``onnx``.
        loaders: Processes that read pictures ahead; 0 reads them between the steps.
    """

    data: str
    layout: str = "auto"
    category: str | None = None
    split: str = "test"
    seeds: list[int] = field(default_factory=lambda: [0])
    extra: list[str] = field(default_factory=list)
    extra_share: float = 0.5
    training: Any = None
    formats: list[Literal["onnx"]] = field(default_factory=list)
    loaders: int = 0


def run_once(
    config: TrainingCommandConfig,
    recipe: Recipe,
    make: Callable[[Draft, Tracker], Mapping[str, Any]],
) -> Artifact:
    """Make an artifact of a training, unless that is done, and print its metrics.

    Args:
        config: Where to, and who is told.
        recipe: Of the artifact.
        make: Trains into a draft and returns the metrics.
    """
    path = config.path(recipe)
    artifact = config.find(recipe)
    if artifact is None:
        info = RunInfo(recipe.kind, recipe.fingerprint, dict(recipe.config))
        with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
            metrics = make(draft, tracker)
            tracker.summary(metrics)
            artifact = draft.commit(metrics)
    else:
        print("Trained already:")
    print(json.dumps(artifact.manifest["metrics"], indent=2))
    return artifact


def by_seed(config: Config) -> dict[int, Config]:
    """Return each seed's settings; a run that is resumed may not have come to its later seeds.

    Raises:
        UserError: If there is no seed, or one twice.
    """
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise UserError(f"--seeds {config.seeds}: at least one, each once.")
    first = config.seeds[0]
    return {
        seed: replace(
            config,
            output=None,
            resume=config.resume and seed == first,
            training=replace(config.training, seed=seed),
        )
        for seed in config.seeds
    }
