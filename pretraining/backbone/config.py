"""Settings of backbone pretraining; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from millsight.platform.errors import UserError

# YOLOv8s's own backbone, untrained.
CSPDARKNET = "cspdarknet"
TaskName = Literal["classification", "moco", "simmim"]


@dataclass
class BackboneConfig:
    """Everything that decides the pretrained weights.

    The defaults are the paper's (arXiv 2509.18919, section 5.3); fewer epochs do on small sets.

    Attributes:
        backbone: Source of a timm network's weights, for example ``timm:resnet50`` or
            ``embedded:efficientnet-lite0``, or of YOLOv8's backbone,
            ``path:FILE#ultralytics:yolov8s``; ``cspdarknet`` is the latter, untrained.
        task: ``classification`` of the pictures' categories, ``moco`` (MoCo v3) or ``simmim``.
        distill: Whether the attention follows the anomaly maps (AGBP), or the task is alone.
        form: Distance between attention and map: ``l2`` for ViTs and Swin, ``cosine`` for all
            others; ``auto`` chooses so.
        floor: Quantile of a category's map values that is taken away from its maps as the level of
            normal surface; by default 0.5 for maps of a memory bank alone, which are distances,
            and 0 for maps with a text term, which are probabilities, and for ``official``.
        stages: How many of the last stages are distilled.
        freeze: Whether the stages before them stay as they are.
        image_size: Side of the views, pixels.
        smallest_crop: Least share of the picture's area that a view shows.
        epochs: Passes over the pictures.
        batch_size: Pictures per step.
        accumulate: Steps whose gradients are added up before the weights change.
        optimizer: ``auto`` is ``adamw`` for ViTs and Swin, ``sgd`` for all others.
        learning_rate: Peak of the schedule; by default 0.01 for SGD, 1e-4 for AdamW.
        weight_decay: By default 1e-4 for SGD, 0.05 for AdamW.
        clip_norm: Gradients are scaled down to this norm; 0 leaves them.
        warm_up: Share of the steps over which the learning rate rises.
        precision: ``bf16`` computes in bfloat16 where that is safe.
        compile: Whether torch.compile makes the network faster.
        compat: ``official`` resizes each stage's target from the one before, as the released code
            does.
        seed: Of new layers, order and augmentation.
    """

    backbone: str = "embedded:efficientnet-lite0"
    task: TaskName = "classification"
    distill: bool = True
    form: Literal["auto", "cosine", "l2"] = "auto"
    floor: float | None = None
    stages: int = 2
    freeze: bool = True
    image_size: int = 224
    smallest_crop: float = 0.2
    epochs: int = 200
    batch_size: int = 64
    accumulate: int = 1
    optimizer: Literal["auto", "sgd", "adamw"] = "auto"
    learning_rate: float | None = None
    weight_decay: float | None = None
    clip_norm: float = 5.0
    warm_up: float = 0.05
    precision: Literal["32", "bf16"] = "32"
    compile: bool = False
    compat: Literal["paper", "official"] = "paper"
    seed: int = 0

    @property
    def source(self) -> str:
        """Of the weights."""
        if self.backbone == CSPDARKNET:
            return f"random:ultralytics:yolov8s?seed={self.seed}"
        return self.backbone

    def check(self) -> None:
        """Refuse what nothing can be trained from.

        Raises:
            UserError: Naming the setting.
        """
        if self.backbone == CSPDARKNET and self.freeze:
            raise UserError(
                "--training.backbone cspdarknet is untrained, and its lower stages would stay so: "
                "add --training.freeze false, or name weights (path:FILE#ultralytics:yolov8s)."
            )
        if self.image_size < 32 or self.image_size % 32:
            raise UserError(f"--training.image_size {self.image_size}: a multiple of 32.")
        for name in ("epochs", "stages", "accumulate"):
            if getattr(self, name) < 1:
                raise UserError(f"--training.{name} {getattr(self, name)}: at least 1.")
        if self.batch_size < 2:
            raise UserError("--training.batch_size: at least 2, for the batch's statistics.")
        if self.floor is not None and not 0 <= self.floor < 1:
            raise UserError(f"--training.floor {self.floor}: in [0, 1).")
        if not 0 < self.smallest_crop <= 1 or not 0 <= self.warm_up < 1:
            raise UserError("--training.smallest_crop in (0, 1], --training.warm_up in [0, 1).")
