"""``millsight pretrain autoencoder`` and ``pretrain diffusion``; light to import."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from millsight.generators.diffusion.micro.config import AutoencoderConfig, DenoiserConfig
from millsight.platform.artifacts import Draft, drafting, open_artifact
from millsight.platform.commands import Outcome, TrainingCommandConfig
from millsight.platform.fingerprints import Input, Recipe
from millsight.platform.tracking import RunInfo, Tracker, track

AUTOENCODER = "autoencoder"
DIFFUSION = "diffusion"
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class PretrainAutoencoderConfig(TrainingCommandConfig):
    """Settings of ``millsight pretrain autoencoder``.

    Attributes:
        data: Artifact of ``millsight generate procedural``.
        training: What decides the weights.
    """

    data: str
    training: AutoencoderConfig = field(default_factory=AutoencoderConfig)


@dataclass(kw_only=True)
class PretrainDiffusionConfig(TrainingCommandConfig):
    """Settings of ``millsight pretrain diffusion``.

    Attributes:
        data: Artifact of ``millsight generate procedural``.
        autoencoder: Artifact of ``millsight pretrain autoencoder``.
        training: What decides the weights.
    """

    data: str
    autoencoder: str
    training: DenoiserConfig = field(default_factory=DenoiserConfig)


def autoencoder(config: PretrainAutoencoderConfig) -> Outcome:
    """Train the micro pipeline's autoencoder on procedural steel."""
    from millsight.generators.diffusion.micro.run import make_autoencoder

    source = open_artifact(config.data, kind="procedural")
    return _train(config, AUTOENCODER, {"data": source.as_input()}, make_autoencoder)


def diffusion(config: PretrainDiffusionConfig) -> Outcome:
    """Train a small Stable Diffusion pipeline on procedural steel and its sentences."""
    from millsight.generators.diffusion.micro.run import make_pipeline

    source = open_artifact(config.data, kind="procedural")
    encoder = open_artifact(config.autoencoder, kind=AUTOENCODER)
    inputs = {"data": source.as_input(), "autoencoder": encoder.as_input()}
    return _train(config, DIFFUSION, inputs, make_pipeline)


def _train(
    config: Any,
    kind: str,
    inputs: dict[str, Input],
    make: Callable[[Any, Draft, Tracker], dict[str, Any]],
) -> Outcome:
    config.training.check()
    config.execution.check()
    recipe = Recipe(kind, SCHEMA_VERSION, asdict(config.training), inputs)
    artifact = config.find(recipe)
    if artifact is None:
        info = RunInfo(kind, recipe.fingerprint, dict(recipe.config))
        with drafting(config.path(recipe), recipe) as draft, track(config.tracking, info) as told:
            metrics = make(config, draft, told)
            told.summary(metrics)
            artifact = draft.commit(metrics)
    else:
        print("Trained already:")
    print(json.dumps(artifact.manifest["metrics"], indent=2))
    print(artifact.path)
    return Outcome(artifact=artifact)
