"""Settings of detectors and of their training; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from millsight.platform.errors import UserError
from millsight.pretraining.backbone.config import CSPDARKNET

Family = Literal["faster_rcnn", "rtdetr_v2", "d_fine", "dino_like", "yolov8"]
STRIDE = 32
# Below it a transformer's features have fewer places than it has queries.
SMALLEST_OF_TRANSFORMERS = 128


@dataclass
class DetectorTrainingConfig:
    """What decides a detector's weights, in pretraining and in finetuning alike.

    Attributes:
        family: ``faster_rcnn`` (with FPN), a transformer with denoising (``rtdetr_v2``,
            ``d_fine``, ``dino_like``), or ``yolov8``, which needs the extra ``ultralytics``.
        backbone: Source of a timm network's weights, for example ``timm:resnet50``,
            ``embedded:efficientnet-lite0``, ``path:DIRECTORY`` of a pretrained backbone;
            ``cspdarknet`` is YOLOv8's own, untrained, ``path:FILE#ultralytics:yolov8s`` with
            weights.
        pretrained: Whether the backbone starts from these weights, or the same network from random
            numbers; then all of it learns.
        frozen_stages: How many of the backbone's lowest stages never learn, the stem counted.
        image_size: Pixels of a picture's longer side as the detector sees it; a multiple of 32.
        width: Channels of the pyramid of Faster R-CNN; its head has four times as many.
        proposals: Of Faster R-CNN, judged per picture; half as many in training.
        epochs: Passes over the pictures.
        batch_size: Pictures per step.
        accumulate: Steps whose gradients are added up before the weights change.
        optimizer: AdamW, or SGD with momentum 0.9.
        learning_rate: Peak of the schedule; by default 2e-4 for AdamW, 0.01 for SGD.
        backbone_rate: The backbone's learning rate as a share of it.
        weight_decay: By default 0.05 for AdamW, 1e-4 for SGD.
        schedule: After a linear warm-up, ``cosine`` falls to nothing; ``step`` falls to a tenth
            after two thirds of the steps and to a hundredth after eight ninths.
        warm_up: Share of the steps over which the learning rate rises.
        clip_norm: Gradients are scaled down to this norm; 0 leaves them. By default 0.1 for
            transformers, else 10.
        scale: Pictures are zoomed by a factor between 1 - ``scale`` and 1 + ``scale``, and moved.
        mosaic: Share of the training pictures that are put together from four.
        precision: ``bf16`` computes in bfloat16 where that is safe.
        compile: Whether torch.compile makes the network's body faster.
        seed: Of new layers, order and augmentation.
    """

    family: Family = "faster_rcnn"
    backbone: str = "embedded:efficientnet-lite0"
    pretrained: bool = True
    frozen_stages: int = 2
    image_size: int = 640
    width: int = 256
    proposals: int = 1000
    epochs: int = 10
    batch_size: int = 8
    accumulate: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float | None = None
    backbone_rate: float = 0.3
    weight_decay: float | None = None
    schedule: Literal["cosine", "step"] = "cosine"
    warm_up: float = 0.05
    clip_norm: float | None = None
    scale: float = 0.3
    mosaic: float = 0.0
    precision: Literal["32", "bf16"] = "32"
    compile: bool = False
    seed: int = 0

    @property
    def gradient_norm(self) -> float:
        """Norm that gradients are scaled down to; 0 leaves them."""
        if self.clip_norm is not None:
            return self.clip_norm
        return 10.0 if self.family in ("faster_rcnn", "yolov8") else 0.1

    def check(self) -> None:
        """Refuse what no detector can be trained from.

        Raises:
            UserError: Naming the setting.
        """
        if self.image_size % STRIDE:
            raise UserError(f"--training.image_size {self.image_size}: a multiple of {STRIDE}.")
        smallest = STRIDE if self.family in ("faster_rcnn", "yolov8") else SMALLEST_OF_TRANSFORMERS
        if self.image_size < smallest:
            raise UserError(
                f"--training.image_size {self.image_size}: at least {smallest} for {self.family}."
            )
        for name in ("epochs", "batch_size", "accumulate", "width", "proposals"):
            if getattr(self, name) < 1:
                raise UserError(f"--training.{name} {getattr(self, name)}: at least 1.")
        if self.frozen_stages < 0 or self.backbone_rate < 0 or self.gradient_norm < 0:
            raise UserError("--training.frozen_stages, backbone_rate and clip_norm: not negative.")
        if not 0 <= self.warm_up < 1 or not 0 <= self.scale < 1 or not 0 <= self.mosaic <= 1:
            raise UserError(
                "--training.warm_up and scale: in [0, 1); --training.mosaic: in [0, 1]."
            )
        if self.backbone == CSPDARKNET and self.family != "yolov8":
            raise UserError(
                "--training.backbone cspdarknet is YOLOv8's own; add --training.family yolov8, or "
                "name a network of timm's."
            )
