"""What decides an adapter; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from millsight.platform.errors import UserError

PLACE = "{defect}"


@dataclass
class AdaptationConfig:
    """What decides an adapter's weights.

    Attributes:
        base: Base model: a diffusers folder, ``embedded:NAME``, or ``OWNER/NAME@REVISION``.
        vae: Folder of an autoencoder to use instead of the base model's own.
        labels: Classes to learn; by default every defect class of the training split.
        prompt: Sentence of a picture; ``{defect}`` stands for the class's token, or for its words
            where no token is learned.
        vectors: Embedding rows of a class's token; 0 learns no tokens.
        rank: Of the low-rank weights on the U-Net's attention; 0 learns none.
        text_rank: Of those on the text encoder's attention; 0 learns none.
        learning_rate: Of low-rank weights.
        token_rate: Learning rate of tokens.
        freeze_tokens: Share of the steps after which the tokens stay as they are.
        steps: Steps in all.
        check_every: Steps between two checkpoints, each judged on validation.
        batch_size: Crops per step.
        min_snr: Steps of little noise count less, by min(SNR, this) / SNR; 0 counts all the same.
        outside: Weight of the loss outside of the dilated mask; 1 inside.
        dilation: How far masks are grown for it, as a share of the crop's side.
        context: How far a crop reaches beyond its defect on each side, as a share of the defect's
            longer side.
        crops: Most crops of one picture.
        image_size: Side of the crops as the model sees them; by default what it was made for.
        flips: Whether crops are mirrored, both ways. They are never turned, nor lit otherwise.
        unconditional: Share of the crops that are shown without a prompt, for guidance.
        clip_norm: Gradients are scaled down to this norm; 0 leaves them.
        precision: ``bf16`` computes in bfloat16 where that is safe.
        least_psnr: Base models whose autoencoder returns the training crops with less, in dB, are
            refused.
        judged: Pictures per class that a checkpoint is judged by.
        judged_steps: Denoising steps of each.
        guidance: Of each, the scale of classifier-free guidance.
        features: timm network in whose features they are judged.
        least_distance: Checkpoints whose pictures are nearer to the training pictures than this
            share of what validation pictures are count as memorised, and are taken only where no
            other is.
        seed: Of everything random.
    """

    base: str = "embedded:micro-diffusion"
    vae: str | None = None
    labels: list[str] | None = None
    prompt: str = "a photo of a metal surface with {defect}"
    vectors: int = 2
    rank: int = 8
    text_rank: int = 0
    learning_rate: float = 1e-4
    token_rate: float = 5e-3
    freeze_tokens: float = 0.5
    steps: int = 1000
    check_every: int = 100
    batch_size: int = 4
    min_snr: float = 5.0
    outside: float = 0.2
    dilation: float = 0.03
    context: float = 0.5
    crops: int = 4
    image_size: int | None = None
    flips: bool = True
    unconditional: float = 0.1
    clip_norm: float = 1.0
    precision: Literal["32", "bf16"] = "32"
    least_psnr: float = 22.0
    judged: int = 16
    judged_steps: int = 20
    guidance: float = 4.0
    features: str = "embedded:efficientnet-lite0"
    least_distance: float = 0.5
    seed: int = 0

    @property
    def frozen_from(self) -> int:
        """The first step, from 0, that leaves the tokens as they are."""
        return round(self.freeze_tokens * self.steps)

    def check(self) -> None:
        """Refuse what no adapter can be learned from.

        Raises:
            UserError: Naming the setting.
        """
        for name in ("steps", "check_every", "batch_size", "crops", "judged_steps", "guidance"):
            if getattr(self, name) < 1:
                raise UserError(f"--training.{name} {getattr(self, name)}: at least 1.")
        for name in ("freeze_tokens", "outside", "unconditional"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--training.{name} {getattr(self, name)}: a share, 0 to 1.")
        for name in ("vectors", "rank", "text_rank", "min_snr", "dilation", "context", "clip_norm"):
            if getattr(self, name) < 0:
                raise UserError(f"--training.{name} {getattr(self, name)}: not negative.")
        self._check_together()

    def _check_together(self) -> None:
        if not self.vectors + self.rank + self.text_rank:
            raise UserError(
                "--training.vectors, rank and text_rank are all 0: nothing would learn."
            )
        if self.steps % self.check_every:
            raise UserError(
                f"--training.steps {self.steps}: a multiple of check_every, {self.check_every}."
            )
        if PLACE not in self.prompt:
            raise UserError(f"--training.prompt {self.prompt!r}: needs {PLACE} where the class is.")
        if self.judged < 2:
            raise UserError(f"--training.judged {self.judged}: at least 2, for KID.")
        if self.labels is not None and len(set(self.labels)) < max(1, len(self.labels)):
            raise UserError("--training.labels: name each class once, and at least one.")
