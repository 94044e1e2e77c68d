"""Detectors of every family in miniature."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch

from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.detr_config import DetrConfig, Variant
from millsight.pretraining.detector.faster_rcnn import FasterRCNNConfig, FasterRCNNDetector
from millsight.pretraining.detector.interface import Detector
from millsight.pretraining.detector.stages import BackboneChoice
from millsight.pretraining.detector.yolo import YoloConfig, YoloDetector

TINY = BackboneChoice("resnet10t")
SIDE = 64
Build = Callable[[BackboneChoice, int], Detector]


def faster_rcnn(choice: BackboneChoice, n_classes: int) -> Detector:
    config = FasterRCNNConfig(min_size=SIDE, max_size=2 * SIDE, width=32)
    return FasterRCNNDetector(choice, n_classes, config)


def detr(variant: Variant) -> Build:
    config = DetrConfig(
        variant, SIDE, 32, feedforward=32, decoder_layers=2, queries=8, denoising=10
    )
    return lambda choice, n_classes: DetrDetector.build(choice, n_classes, config)


def yolo(choice: BackboneChoice, n_classes: int) -> Detector:
    # Its ResNets are torchvision's, which has no resnet10t.
    config = YoloConfig(scale="n", image_size=SIDE)
    return YoloDetector(choice if choice is not TINY else None, n_classes, config)


needs_ultralytics = pytest.mark.skipif(
    importlib.util.find_spec("ultralytics") is None, reason="ultralytics is not installed"
)
FAMILIES = {
    "faster_rcnn": faster_rcnn,
    "rtdetr_v2": detr("rtdetr_v2"),
    "d_fine": detr("d_fine"),
}
ALL = [pytest.param(build, id=name) for name, build in FAMILIES.items()]
ALL.append(pytest.param(yolo, id="yolo", marks=needs_ultralytics))


def make(build: Build, n_classes: int = 1, choice: BackboneChoice = TINY) -> Detector:
    torch.manual_seed(0)
    return build(choice, n_classes).train()


def disturbed(build: Build, choice: BackboneChoice = TINY) -> Detector:
    """Two classes; fresh heads are zero in places, and would hide what lies before them."""
    detector = make(build, 2, choice).eval()
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return detector
