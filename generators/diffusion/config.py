"""What decides what a diffusion draws; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from millsight.generators.masks.labels import LabelConfig
from millsight.generators.masks.placement import PlacementConfig
from millsight.platform.errors import UserError

PLACE = "{defect}"


@dataclass
class DiffusionConfig:
    """With the spec and the materials, it decides every picture of the diffusion engine.

    Attributes:
        base: Base model: a diffusers folder, ``embedded:NAME``, or ``OWNER/NAME@REVISION``.
        adapter: Folder that ``millsight generate train`` made; by default the base as it is.
        vae: Folder of an autoencoder to use instead of the base's own, such as TAESD.
        prompt: Sentence of a picture; ``{defect}`` stands for the class's words. An adapter has
            its own.
        context: How far a crop reaches beyond its defect on each side, as a share of the defect's
            longer side; best what the adapter was trained with.
        crops: Most crops of one picture that are drawn.
        image_size: Side of the crops as the model sees them; by default what the adapter learned
            from, else what the model was made for.
        batch_size: Crops at a time; it decides the last bits of a picture.
        precision: ``32``, ``bf16`` or ``16`` bits.
        least_psnr: Autoencoders that return the real crops with less, in dB, are refused; 0 takes
            any.
        allow_non_commercial: Accept weights whose licence forbids commercial use.
        placement: Where masks may lie on a plate.
        labels: How the final mask and the boxes are read off; a plate may change as far beyond the
            mask as ``labels.dilation`` says.
    """

    base: str = "embedded:micro-diffusion"
    adapter: str | None = None
    vae: str | None = None
    prompt: str = "a photo of a metal surface with {defect}"
    context: float = 0.5
    crops: int = 4
    image_size: int | None = None
    batch_size: int = 8
    precision: Literal["32", "bf16", "16"] = "32"
    least_psnr: float = 22.0
    allow_non_commercial: bool = False
    placement: PlacementConfig = field(default_factory=PlacementConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)

    def check(self) -> None:
        """Refuse what nothing can be drawn with.

        Raises:
            UserError: Naming the setting.
        """
        self.placement.check()
        self.labels.check()
        if self.batch_size < 1 or self.crops < 1:
            raise UserError("--diffusion.batch_size and --diffusion.crops: at least 1.")
        if self.context < 0:
            raise UserError(f"--diffusion.context {self.context}: not negative.")
        if PLACE not in self.prompt:
            raise UserError(
                f"--diffusion.prompt {self.prompt[:60]!r}: needs {PLACE} where the class is."
            )
