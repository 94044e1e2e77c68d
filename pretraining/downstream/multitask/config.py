"""Settings of the multi-task model; light to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millsight.platform.errors import UserError

Mode = Literal["pixel", "joint", "gated"]
STRIDE = 32


@dataclass
class MultitaskConfig:
    """Everything that decides the trained weights.

    Attributes:
        encoder: Source of a timm network's weights, for example ``embedded:efficientnet-lite0``.
        mode: The ablation: ``pixel`` learns masks alone, ``joint`` masks and the sample's label,
            ``gated`` lets the sample's embedding gate the decoder's features as well.
        sample_weight: Lambda, the weight of the sample's loss; without effect for ``pixel``.
        image_size: Height of the input, pixels, a multiple of 32; pictures are squashed to it.
        image_width: Its width, likewise; by default the input is square.
        decoder_channels: Width of each of the decoder's five stages, the coarsest first.
        epochs: Passes over the training pictures.
        batch_size: Pictures per step.
        balanced: An epoch draws as many good as defective pictures, all of the rarer kind and other
            ones of the commoner kind each time, instead of every picture once.
        learning_rate: Peak of AdamW's schedule (linear warm-up, cosine decay).
        encoder_rate: The pretrained encoder's learning rate as a share of ``learning_rate``.
        weight_decay: Of AdamW.
        holdout: Share of the training pictures kept for validation where the data has no ``val``
            split; one physical object stays on one side.
        gradient_pictures: Training pictures whose gradients into the encoder are measured after
            each epoch; 0 measures none.
        seed: Of initial weights, order, augmentation and holdout.
    """

    encoder: str = "embedded:efficientnet-lite0"
    mode: Mode = "gated"
    sample_weight: float = 0.5
    image_size: int = 256
    image_width: int | None = None
    decoder_channels: list[int] = field(default_factory=lambda: [96, 64, 32, 24, 16])
    epochs: int = 30
    batch_size: int = 8
    balanced: bool = True
    learning_rate: float = 2e-3
    encoder_rate: float = 0.3
    weight_decay: float = 1e-2
    holdout: float = 0.2
    gradient_pictures: int = 24
    seed: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, pixels."""
        return self.image_size, self.image_width or self.image_size

    def check(self) -> None:
        """Refuse what no network can be built or trained from.

        Raises:
            UserError: Naming the setting.
        """
        for name, side in zip(("image_size", "image_width"), self.size, strict=True):
            if side < STRIDE or side % STRIDE:
                raise UserError(f"--training.{name} {side}: a multiple of {STRIDE}.")
        if len(self.decoder_channels) != 5 or min(self.decoder_channels) < 1:
            raise UserError("--training.decoder_channels: five widths, the coarsest first.")
        if self.epochs < 1 or self.batch_size < 1:
            raise UserError("--training.epochs and --training.batch_size: at least 1.")
        if not 0 < self.holdout < 1:
            raise UserError(f"--training.holdout {self.holdout}: between 0 and 1.")
        if self.encoder_rate < 0:
            raise UserError(f"--training.encoder_rate {self.encoder_rate}: not negative.")
        if self.sample_weight < 0 or self.gradient_pictures < 0:
            raise UserError(
                "--training.sample_weight and --training.gradient_pictures: not negative."
            )
