"""The three tasks that distillation is an add-on to, each a loss over views of pictures.

Shapes: B pictures, V views of each, H x W pixels of a view, C channels.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import MLP

from millsight.pretraining.backbone.stages import StagedBackbone

MOCO_HIDDEN = 4096
MOCO_WIDTH = 256
MOCO_TEMPERATURE = 0.2
MOCO_MOMENTUM = 0.99
SIMMIM_PATCH = 32
SIMMIM_RATIO = 0.6


class Views(NamedTuple):
    """A batch: the views of each picture with the anomaly map under the same crop and flip.

    Attributes:
        pictures: ``(B, V, 3, H, W)`` float32, RGB in [0, 1].
        maps: ``(B, V, 1, H, W)`` float32.
        targets: ``(B,)`` int64, the pictures' categories.
    """

    pictures: Tensor
    maps: Tensor
    targets: Tensor

    def flat(self) -> tuple[Tensor, Tensor]:
        """Return pictures ``(V * B, 3, H, W)`` and maps ``(V * B, 1, H, W)``, view by view."""
        return self.pictures.transpose(0, 1).flatten(0, 1), self.maps.transpose(0, 1).flatten(0, 1)


@dataclass(frozen=True)
class TaskOutput:
    """What one step of a task gives.

    Attributes:
        loss: Scalar.
        stages: ``(N, C, h, w)`` features of the backbone's last stages, from the same pass.
        maps: ``(N, 1, H, W)`` anomaly maps of the N pictures that the stages saw.
    """

    loss: Tensor
    stages: list[Tensor]
    maps: Tensor


class Task(nn.Module, ABC):
    """A backbone with what its task needs besides.

    Attributes:
        n_views: V, how many views of a picture a step takes.
        backbone: What is pretrained.
    """

    n_views: int = 1

    def __init__(self, backbone: StagedBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    @abstractmethod
    def forward(self, views: Views) -> TaskOutput:
        """Run one step; everything that is needed for distillation comes from the same pass."""

    def after_step(self, progress: float) -> None:
        """Do what follows an optimizer step; ``progress`` rises from 0 to 1 over the run."""


class Classification(Task):
    """Tell the pictures' categories apart, with the network's own head for as many classes."""

    def __init__(self, backbone: StagedBackbone, n_classes: int) -> None:
        super().__init__(backbone)
        cast(Any, backbone.network).reset_classifier(n_classes)

    def forward(self, views: Views) -> TaskOutput:
        """Cross-entropy of the first view."""
        pictures, maps = views.flat()
        final, stages = self.backbone(pictures)
        logits = cast(Any, self.backbone.network).forward_head(final)
        return TaskOutput(F.cross_entropy(logits, views.targets), stages, maps)


class MoCo(Task):
    """MoCo v3 (Chen et al. 2021, arXiv 2104.02057): two views agree, against the batch's others."""

    n_views = 2

    def __init__(self, backbone: StagedBackbone) -> None:
        super().__init__(backbone)
        width = int(cast(Any, backbone.network).head_hidden_size)
        self.project = MLP(width, [MOCO_HIDDEN, MOCO_WIDTH], norm_layer=nn.BatchNorm1d)
        self.predict = MLP(MOCO_WIDTH, [MOCO_HIDDEN, MOCO_WIDTH], norm_layer=nn.BatchNorm1d)
        self.slow_backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.slow_project = copy.deepcopy(self.project).requires_grad_(False)

    def forward(self, views: Views) -> TaskOutput:
        """Contrast each view's prediction with the slow network's embedding of the other view."""
        pictures, maps = views.flat()
        final, stages = self.backbone(pictures)
        queries = self.predict(self.project(_pool(self.backbone, final))).chunk(2)
        with torch.no_grad():
            slow, _ = self.slow_backbone(pictures)
            keys = self.slow_project(_pool(self.slow_backbone, slow)).chunk(2)
        loss = contrast(queries[0], keys[1]) + contrast(queries[1], keys[0])
        return TaskOutput(loss, stages, maps)

    def after_step(self, progress: float) -> None:
        """Let the slow network follow; its momentum rises from 0.99 to 1 with a cosine."""
        rest = (1 - MOCO_MOMENTUM) * (1 + math.cos(math.pi * progress)) / 2
        for fast, slow in (
            (self.backbone, self.slow_backbone),
            (self.project, self.slow_project),
        ):
            for ours, theirs in zip(fast.parameters(), slow.parameters(), strict=True):
                theirs.lerp_(ours.detach(), rest)


class SimMIM(Task):
    """SimMIM (Xie et al. 2022, arXiv 2111.09886): one layer paints what was hidden.

    Hidden squares are filled with one learnt colour in the picture itself, so that networks without
    patch tokens can be trained as well.
    """

    def __init__(self, backbone: StagedBackbone, reduction: int, channels: int) -> None:
        super().__init__(backbone)
        self.color = nn.Parameter(torch.full((1, 3, 1, 1), 0.5))
        self.paint = nn.Sequential(
            nn.Conv2d(channels, 3 * reduction**2, 1), nn.PixelShuffle(reduction)
        )

    def forward(self, views: Views) -> TaskOutput:
        """Mean absolute error of the hidden pixels, in the network's normalised colours."""
        pictures, maps = views.flat()
        hidden = hide(pictures)
        _, stages = self.backbone(torch.where(hidden, self.color, pictures))
        painted = self.paint(stages[-1])
        truth = (pictures - self.backbone.mean) / self.backbone.std
        error = (painted - truth).abs() * hidden
        return TaskOutput(error.sum() / (3 * hidden.sum()), stages, maps)


def contrast(queries: Tensor, keys: Tensor) -> Tensor:
    """InfoNCE of ``(B, E)`` queries with ``(B, E)`` keys; key i is query i's own (MoCo v3, eq. 1).

    Returns:
        Scalar, scaled by twice the temperature as the authors do.
    """
    logits = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / MOCO_TEMPERATURE
    own = torch.arange(len(queries), device=queries.device)
    return 2 * MOCO_TEMPERATURE * F.cross_entropy(logits, own)


def hide(pictures: Tensor) -> Tensor:
    """Choose squares of 32 pixels to hide, six in ten of each picture.

    Args:
        pictures: ``(B, 3, H, W)``, H and W multiples of 32.

    Returns:
        ``(B, 1, H, W)`` bool, true where hidden.
    """
    b, _, height, width = pictures.shape
    rows, columns = height // SIMMIM_PATCH, width // SIMMIM_PATCH
    n_hidden = round(SIMMIM_RATIO * rows * columns)
    order = torch.rand(b, rows * columns, device=pictures.device).argsort(dim=1)
    squares = (order < n_hidden).reshape(b, 1, rows, columns)
    return squares.repeat_interleave(SIMMIM_PATCH, 2).repeat_interleave(SIMMIM_PATCH, 3)


def _pool(backbone: StagedBackbone, final: Tensor) -> Tensor:
    pooled: Tensor = cast(Any, backbone.network).forward_head(final, pre_logits=True)
    return pooled
