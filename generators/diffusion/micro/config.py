"""What decides the micro pipeline's weights; light to import."""

from __future__ import annotations

from dataclasses import dataclass

from millsight.platform.errors import UserError


@dataclass
class AutoencoderConfig:
    """What decides the autoencoder.

    Attributes:
        side: Side of the pictures, pixels; a multiple of ``2 ** (len(widths) - 1)``.
        widths: Channels of its levels; each but the first halves the side.
        epochs: Passes over the pictures.
        batch_size: Pictures per step.
        learning_rate: Peak of the cosine schedule, AdamW.
        perceptual: Weight of the loss on the features of ``network``; 0 is without.
        network: Weights of a timm network whose features are compared.
        defects: How much more a defect's pixels count than the others.
        kl: Weight of the posterior's distance to a normal distribution.
        holdout: Share of the pictures that is kept to measure.
        seed: Of weights and order.
    """

    side: int = 64
    widths: tuple[int, ...] = (16, 32, 64)
    epochs: int = 2
    batch_size: int = 16
    learning_rate: float = 1e-3
    perceptual: float = 0.3
    network: str = "embedded:efficientnet-lite0"
    defects: float = 4.0
    kl: float = 1e-6
    holdout: float = 0.05
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UserError: Naming the setting.
        """
        factor = 2 ** (len(self.widths) - 1)
        if self.side % factor or self.side < 8 * factor:
            raise UserError(
                f"--training.side {self.side}: a multiple of {factor}, at least {8 * factor}."
            )
        _check_counts(self.epochs, self.batch_size, self.holdout)


@dataclass
class DenoiserConfig:
    """What decides the U-Net and the text encoder.

    Attributes:
        widths: Channels of the U-Net's levels; all but the first attend to the text.
        text_width: Of the text encoder and of the cross attention.
        text_layers: Of the text encoder.
        text_steps: Steps in which the text encoder alone learns what sentences are about; see
            ``teach_words``.
        epochs: Passes over the latents.
        batch_size: Latents per step.
        learning_rate: Peak of the cosine schedule, AdamW.
        unconditional: Share of the latents that are shown without their sentence, for guidance.
        min_snr: Steps of little noise count less, by min(SNR, this) / SNR; 0 counts all the same.
        ema: Decay per step of the weights' exponential moving average, which is what is kept.
        holdout: Share of the pictures that is kept to measure.
        seed: Of weights, order, noise and choice of sentences.
    """

    widths: tuple[int, ...] = (64, 96, 128)
    text_width: int = 96
    text_layers: int = 3
    text_steps: int = 300
    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 1e-3
    unconditional: float = 0.1
    min_snr: float = 5.0
    ema: float = 0.999
    holdout: float = 0.05
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UserError: Naming the setting.
        """
        _check_counts(self.epochs, self.batch_size, self.holdout)
        if not 0 <= self.unconditional < 1 or not 0 <= self.ema < 1:
            raise UserError("--training.unconditional and --training.ema: in [0, 1).")


def _check_counts(epochs: int, batch_size: int, holdout: float) -> None:
    if epochs < 1 or batch_size < 1:
        raise UserError("--training.epochs and --training.batch_size: at least 1.")
    if not 0 < holdout < 1:
        raise UserError(f"--training.holdout {holdout}: between 0 and 1.")
