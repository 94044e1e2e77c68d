"""``millsight pretrain detector``; light to import."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from millsight.platform.artifacts import drafting
from millsight.platform.commands import Outcome, TrainingCommandConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, track
from millsight.pretraining.backbone.config import CSPDARKNET
from millsight.pretraining.detector.config import DetectorTrainingConfig

KIND = "detector"
FINETUNED_KIND = "detection"
# Sub-directory of both with what ``load_detector`` reads.
DETECTOR = "detector"
SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class PretrainDetectorConfig(TrainingCommandConfig):
    """Settings of ``millsight pretrain detector``.

    Attributes:
        boxes: Artifacts of ``millsight boxes``: the pictures to learn from, with their boxes.
        exact: Sets whose boxes or masks are exact, to learn beside them as the same class: of
            ``millsight generate procedural``, or training splits of labelled pictures.
        weights: Artifact with a detector to go on from, pretrained or finetuned. Family, backbone,
            image size and width are then its own. By default a new one on ``training.backbone``.
        training: What decides the weights.
        gate: Refuse boxes, and maps they were made of, from which nothing can be learnt.
        freeze_backbone: Whether the backbone stays as it is (METHODS: the paper's default).
        formats: Written beside the weights and checked: ``onnx``.
        loaders: Processes that read pictures ahead; 0 reads them between the steps.
    """

    boxes: list[str] = field(default_factory=list)
    exact: list[str] = field(default_factory=list)
    weights: str | None = None
    training: DetectorTrainingConfig = field(default_factory=DetectorTrainingConfig)
    gate: bool = True
    freeze_backbone: bool = True
    formats: list[Literal["onnx"]] = field(default_factory=list)
    loaders: int = 0


def pretrain(config: PretrainDetectorConfig) -> Outcome:
    """Pretrain a detector on boxes of one class, "anomaly", that nobody had to draw (AGDP)."""
    config.training.check()
    config.execution.check()
    untrained = config.training.backbone == CSPDARKNET or not config.training.pretrained
    if untrained and config.weights is None and config.freeze_backbone:
        raise UserError(
            "--freeze_backbone would freeze random numbers: the backbone is untrained. Add "
            "--freeze_backbone false, or name a trained --training.backbone."
        )
    from millsight.pretraining.detector.exact_boxes import open_exact
    from millsight.pretraining.detector.pseudo_labels import open_boxes
    from millsight.pretraining.detector.run import Sources, make
    from millsight.pretraining.detector.start import load_start

    start = load_start(config.weights, config.training)
    sources = Sources(open_boxes(config.boxes), open_exact(config.exact), start)
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        asdict(config.training)
        | {"freeze_backbone": config.freeze_backbone, "formats": config.formats},
        sources.inputs(),
        start.fingerprints(),
    )
    path = config.path(recipe)
    artifact = config.find(recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
            metrics = make(config, sources, draft, tracker)
            tracker.summary(metrics)
            artifact = draft.commit(metrics)
    else:
        print("Pretrained already:")
    print(json.dumps(artifact.manifest["metrics"], indent=2))
    print(artifact.path)
    return Outcome(artifact=artifact)
