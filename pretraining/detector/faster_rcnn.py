"""Faster R-CNN with a feature pyramid (arXiv 1506.01497, 1612.03144) on any timm backbone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from millsight.pretraining.detector.interface import (
    MAX_DETECTIONS,
    DetectionBatch,
    Detections,
    Detector,
)
from millsight.pretraining.detector.stages import (
    BackboneChoice,
    build_network,
    last_stages,
    still_modules,
)

N_STAGES = 4
# Features of a proposal per side, as torchvision samples them.
ROI_SIDE = 7


@dataclass(frozen=True)
class FasterRCNNConfig:
    """Settings.

    Attributes:
        min_size: Pixels that a picture's shorter side is brought to.
        max_size: Pixels that its longer side does not exceed.
        width: Channels of the pyramid.
        anchor: Side of the smallest anchors, pixels of the picture so resized; every level of the
            pyramid doubles it.
        head_width: Of the two layers that judge a proposal; most of the time goes there.
        proposals: Kept per picture for that.
        sampled: Of these and the true boxes, judged per picture in training.
        min_score: Boxes below it are not given out.
    """

    min_size: int = 640
    max_size: int = 1066
    width: int = 256
    anchor: float = 32.0
    head_width: int = 1024
    proposals: int = 1000
    sampled: int = 512
    min_score: float = 0.01


class FasterRCNNDetector(Detector):
    """torchvision's Faster R-CNN on the last four stages of a timm network.

    On a ResNet, ``model`` has the very tensors of torchvision's own ``fasterrcnn_resnet50_fpn``.

    Args:
        choice: The backbone; built with random weights.
        n_classes: Without the background.
        config: Settings.

    Raises:
        UserError: If the backbone has no four stages of strides 4, 8, 16 and 32.
    """

    def __init__(
        self,
        choice: BackboneChoice,
        n_classes: int = 1,
        config: FasterRCNNConfig | None = None,
    ) -> None:
        super().__init__(n_classes)
        self.choice = choice
        self.config = config = config or FasterRCNNConfig()
        pyramid = _Pyramid(build_network(choice.architecture), config.width)
        n_features = config.width * ROI_SIDE**2
        self.model = FasterRCNN(
            pyramid,
            min_size=config.min_size,
            max_size=config.max_size,
            image_mean=list(choice.mean),
            image_std=list(choice.std),
            rpn_anchor_generator=_anchors(config.anchor),
            rpn_pre_nms_top_n_train=2 * config.proposals,
            rpn_pre_nms_top_n_test=config.proposals,
            rpn_post_nms_top_n_train=config.proposals,
            rpn_post_nms_top_n_test=config.proposals,
            box_head=TwoMLPHead(n_features, config.head_width),
            box_predictor=FastRCNNPredictor(config.head_width, n_classes + 1),
            box_batch_size_per_image=config.sampled,
            box_score_thresh=config.min_score,
            box_detections_per_img=MAX_DETECTIONS,
        )
        # A fifth faster on CPUs, and what tensor cores want.
        self.model.to(memory_format=torch.channels_last)
        self._always_still = still_modules(pyramid.body, choice)
        self.freeze_backbone(False)

    @property
    def backbone(self) -> nn.Module:
        """The whole network of timm's, without a head."""
        return cast(nn.Module, self.model.backbone.body)

    @property
    def min_score(self) -> float:
        """As configured."""
        return self.config.min_score

    def losses(self, batch: DetectionBatch) -> dict[str, Tensor]:
        """Return objectness and box losses of the proposals, class and box losses of the heads."""
        targets = [
            {"boxes": boxes, "labels": labels + 1}
            for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
        ]
        return dict(self.model(list(batch.pictures), targets))

    def reset_classes(self, n_classes: int) -> None:
        """Start the last layers for class and box anew; each class has a box regression here."""
        old = self.model.roi_heads.box_predictor.cls_score
        fresh = FastRCNNPredictor(old.in_features, n_classes + 1)
        self.model.roi_heads.box_predictor = fresh.to(old.weight)
        self.n_classes = n_classes

    def compile_body(self) -> None:
        """As for every detector, with the pyramid."""
        cast(nn.Module, self.model.backbone).compile()

    def _detect(self, pictures: Sequence[Tensor]) -> list[Detections]:
        return [
            Detections(found["boxes"], found["labels"] - 1, found["scores"])
            for found in self.model(list(pictures))
        ]


def _anchors(smallest: float) -> AnchorGenerator:
    sizes = tuple((smallest * 2**level,) for level in range(N_STAGES + 1))
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))


class _Pyramid(nn.Module):
    """Features of four stages, brought to one width, and a fifth level of half the size."""

    def __init__(self, network: nn.Module, width: int) -> None:
        super().__init__()
        stages = last_stages(network, N_STAGES)
        # torchvision's name for it.
        self.body = network
        self.fpn = FeaturePyramidNetwork(
            [stage.channels for stage in stages], width, LastLevelMaxPool()
        )
        self.out_channels = width
        self._indices = [stage.index for stage in stages]

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return ``(B, width, h, w)`` features by the names that torchvision expects."""
        features = cast(Any, self.body).forward_intermediates(
            pictures, indices=self._indices, output_fmt="NCHW", intermediates_only=True
        )
        named = OrderedDict((str(i), feature) for i, feature in enumerate(features))
        return cast(dict[str, Tensor], self.fpn(named))
