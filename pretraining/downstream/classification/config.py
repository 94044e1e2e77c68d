"""Settings of finetuning a classifier; light to import."""

from __future__ import annotations

from dataclasses import dataclass

from millsight.platform.errors import UserError
from millsight.pretraining.downstream.few_labels import FewLabelsConfig


@dataclass
class ClassificationConfig(FewLabelsConfig):
    """Everything that decides the finetuned weights.

    Attributes:
        backbone: Source of a timm network's weights, for example ``timm:resnet50``,
            ``embedded:efficientnet-lite0``, ``path:DIRECTORY`` of a pretrained backbone.
        image_size: Side of the squares that pictures are squashed to, pixels.
        batch_size: Pictures per step.
        learning_rate: Peak of the schedule, for the new head; AdamW.
        backbone_rate: The backbone's learning rate as a share of it; 0 leaves it as it is.
        weight_decay: Of all but norms and biases.
        clip_norm: Gradients are scaled down to this norm; 0 leaves them.
        smoothing: Share of the truth that is spread over all classes.
        smallest_crop: Least share of a picture's area that a training step shows.
        seed: Of the pictures drawn, the head, order and augmentation.
    """

    backbone: str = "embedded:efficientnet-lite0"
    image_size: int = 224
    batch_size: int = 16
    learning_rate: float = 2e-3
    backbone_rate: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 5.0
    smoothing: float = 0.05
    smallest_crop: float = 0.5
    seed: int = 0

    def check(self) -> None:
        """Refuse what no classifier can be finetuned with.

        Raises:
            UserError: Naming the setting.
        """
        super().check()
        for name, least in (("epochs", 1), ("batch_size", 1), ("image_size", 32)):
            if getattr(self, name) < least:
                raise UserError(f"--training.{name} {getattr(self, name)}: at least {least}.")
        for name in ("backbone_rate", "weight_decay", "clip_norm"):
            if getattr(self, name) < 0:
                raise UserError(f"--training.{name} {getattr(self, name)}: not negative.")
        if self.learning_rate <= 0:
            raise UserError(f"--training.learning_rate {self.learning_rate}: above 0.")
        if not 0 <= self.smoothing < 1 or not 0 < self.smallest_crop <= 1:
            raise UserError("--training.smoothing: in [0, 1); smallest_crop: in (0, 1].")
