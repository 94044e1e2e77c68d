"""A detector of any family from one configuration."""

from __future__ import annotations

from dataclasses import replace

import torch

from millsight.platform.weights import LoadedWeights, load_weights
from millsight.platform.weights.carry_over import CarryOver
from millsight.pretraining.detector.config import CSPDARKNET, DetectorTrainingConfig
from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.detr_config import DetrConfig
from millsight.pretraining.detector.faster_rcnn import FasterRCNNConfig, FasterRCNNDetector
from millsight.pretraining.detector.interface import Detector
from millsight.pretraining.detector.stages import BackboneChoice
from millsight.pretraining.detector.yolo import YoloConfig, YoloDetector

# Of the smallest anchors: 32 pixels at 640, as in the authors' code.
ANCHORS_PER_SIDE = 20


def load_backbone_weights(config: DetectorTrainingConfig) -> LoadedWeights | None:
    """Load the backbone's weights; ``None`` for CSPDarknet, which has none to load.

    Raises:
        UserError: If they cannot be had.
    """
    return None if config.backbone == CSPDARKNET else load_weights(config.backbone)


def build_detector(
    config: DetectorTrainingConfig, loaded: LoadedWeights | None, n_classes: int = 1
) -> tuple[Detector, CarryOver]:
    """Build a detector on a backbone's weights, its other layers drawn by the seed.

    Args:
        config: Family and sizes.
        loaded: From ``load_backbone_weights``.
        n_classes: Classes it tells apart.

    Returns:
        The detector, and the account of its tensors.

    Raises:
        UserError: If this family cannot be built on the backbone.
    """
    torch.manual_seed(config.seed)
    choice = None if loaded is None else _choice(config, loaded)
    detector = _build(config, choice, n_classes)
    if loaded is None or not config.pretrained:
        return detector, CarryOver((), (), tuple(detector.state_dict()))
    return detector, detector.load_backbone(loaded.state_dict)


def _choice(config: DetectorTrainingConfig, loaded: LoadedWeights) -> BackboneChoice:
    choice = BackboneChoice.of(loaded)
    if not config.pretrained:
        return replace(choice, frozen_stages=0, frozen_norms=False)
    return replace(choice, frozen_stages=config.frozen_stages)


def _build(
    config: DetectorTrainingConfig, choice: BackboneChoice | None, n_classes: int
) -> Detector:
    size = config.image_size
    if config.family == "yolov8":
        return YoloDetector(choice, n_classes, YoloConfig(image_size=size))
    assert choice is not None  # noqa: S101 - `check` lets no other family have CSPDarknet
    if config.family == "faster_rcnn":
        # One size for both sides: the longer one is brought to it, whatever the picture's shape.
        settings = FasterRCNNConfig(
            min_size=size,
            max_size=size,
            width=config.width,
            anchor=size / ANCHORS_PER_SIDE,
            head_width=4 * config.width,
            proposals=config.proposals,
            sampled=config.proposals // 2,
        )
        return FasterRCNNDetector(choice, n_classes, settings)
    variant = DetrConfig(variant=config.family, image_size=size)
    return DetrDetector.build(choice, n_classes, variant)
