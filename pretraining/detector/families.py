"""A detector of any family from one configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights, load_weights
from millsight.platform.weights.carry_over import CarryOver
from millsight.platform.weights.csp_darknet import NAME
from millsight.pretraining.backbone.config import CSPDARKNET
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.detr_config import DetrConfig
from millsight.pretraining.detector.faster_rcnn import FasterRCNNConfig, FasterRCNNDetector
from millsight.pretraining.detector.interface import Detector
from millsight.pretraining.detector.stages import BackboneChoice
from millsight.pretraining.detector.yolo import Scale, YoloConfig, YoloDetector

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
    if loaded is None or loaded.library == "ultralytics":
        detector = _on_csp_darknet(config, loaded, n_classes)
    else:
        detector = _build(config, _choice(config, loaded), n_classes)
    if loaded is None or not config.pretrained:
        return detector, CarryOver((), (), tuple(detector.state_dict()))
    return detector, detector.load_backbone(loaded.state_dict)


def _choice(config: DetectorTrainingConfig, loaded: LoadedWeights) -> BackboneChoice:
    choice = BackboneChoice.of(loaded)
    if not config.pretrained:
        return replace(choice, frozen_stages=0, frozen_norms=False)
    return replace(choice, frozen_stages=config.frozen_stages)


def _on_csp_darknet(
    config: DetectorTrainingConfig, loaded: LoadedWeights | None, n_classes: int
) -> Detector:
    if config.family != "yolov8":
        raise UserError(
            f"--training.backbone {config.backbone} is YOLOv8's own; add --training.family yolov8, "
            "or name a network of timm's."
        )
    sized = YoloConfig(image_size=config.image_size)
    if loaded is not None:
        sized = replace(sized, scale=cast(Scale, loaded.architecture.removeprefix(NAME)))
    return YoloDetector(None, n_classes, sized)


def _build(config: DetectorTrainingConfig, choice: BackboneChoice, n_classes: int) -> Detector:
    size = config.image_size
    if config.family == "yolov8":
        return YoloDetector(choice, n_classes, YoloConfig(image_size=size))
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
