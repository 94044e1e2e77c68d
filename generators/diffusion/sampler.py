"""A base model in memory that fills patches: batches, adapters, random generators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from millsight.generators.diffusion.adapters import Adapter
from millsight.generators.diffusion.autoencoder import (
    decode,
    encode,
    noise_like,
    to_pictures,
    to_pixels,
)
from millsight.generators.diffusion.base import BaseModel
from millsight.generators.diffusion.denoising import Start, begin, denoise, fast_scheduler, noised
from millsight.generators.diffusion.pipelines import load_pipeline
from millsight.generators.diffusion.prompts import PromptEncoder
from millsight.generators.diffusion.switching import AdapterSwitch
from millsight.platform.errors import UserError

Precision = Literal["32", "bf16", "16"]
DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


@dataclass(frozen=True)
class Patch:
    """One square to fill.

    Attributes:
        seed: Of everything random about it.
        picture: ``(S, S, 3)`` uint8 real pixels to start from; ``None`` starts from noise.
        region: ``(S, S)`` bool, where it may change; ``None`` means everywhere.
    """

    seed: int
    picture: NDArray[np.uint8] | None = None
    region: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Drawing:
    """How the patches of a batch are filled.

    Attributes:
        prompt: Text, with the adapter's tokens as in its card.
        steps: Of the whole schedule.
        strength: Share of it that is done; 1 where patches have no picture.
        guidance: Scale of classifier-free guidance; 1 is without.
    """

    prompt: str
    steps: int = 25
    strength: float = 1.0
    guidance: float = 4.0


class Sampler:
    """Fills patches.

    A patch comes out the same to the last bit whatever lies beside it: every one has a generator of
    its own, and a batch that is not full is filled up, for arithmetic of another shape rounds
    otherwise.

    Args:
        base: What the pipeline was loaded from.
        pipeline: Of diffusers; belongs to the sampler from now on.
        batch_size: Patches at a time; decides the last bits of what comes out.
        side: Of the patches, pixels; by default what the model was made for.

    Raises:
        UserError: If the autoencoder cannot halve the side as often as it does.
    """

    def __init__(
        self, base: BaseModel, pipeline: Any, *, batch_size: int = 8, side: int | None = None
    ) -> None:
        self.base = base
        self.pipeline = pipeline
        self.batch_size = batch_size
        self.side = side or base.side
        if self.side % pipeline.vae_scale_factor:
            raise UserError(
                f"--diffusion.image_size {self.side}: a multiple of {pipeline.vae_scale_factor}."
            )
        self.scheduler = fast_scheduler(pipeline.scheduler.config)
        self.switch = AdapterSwitch(pipeline)
        self._prompts = PromptEncoder(pipeline, self.switch)

    @classmethod
    def load(
        cls,
        base: BaseModel,
        *,
        device: str = "cpu",
        precision: Precision = "32",
        batch_size: int = 8,
        side: int | None = None,
    ) -> Sampler:
        """Load a base model.

        Raises:
            UserError: If its weights do not fit its configs.
        """
        pipeline = load_pipeline(base, device=device, dtype=DTYPES[precision])
        return cls(base, pipeline, batch_size=batch_size, side=side)

    @torch.inference_mode()
    def fill(
        self, patches: Sequence[Patch], drawing: Drawing, adapter: Adapter | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Fill patches, all with a picture or all without, all with a region or all without.

        Args:
            patches: What to fill.
            drawing: How.
            adapter: What to fill them with; by default the base model as it is.

        Yields:
            ``(S, S, 3)`` float32 grey levels in [0, 255] for each patch, in their order.

        Raises:
            UserError: If the adapter does not fit, the prompt is too long, or no step is left.
        """
        self.switch.use(adapter)
        conditions = self._prompts.conditions(
            drawing.prompt,
            adapter,
            batch=self.batch_size,
            side=self.side,
            guided=drawing.guidance > 1,
        )
        unet = self.pipeline.unet
        for first in range(0, len(patches), self.batch_size):
            batch = list(patches[first : first + self.batch_size])
            full = batch + batch[-1:] * (self.batch_size - len(batch))
            timesteps = begin(self.scheduler, drawing.steps, drawing.strength, unet.device)
            start = self.start(full, timesteps, drawing.strength)
            latents = denoise(
                unet,
                self.scheduler,
                start,
                timesteps,
                conditions=conditions,
                guidance=drawing.guidance,
            )
            yield from to_pictures(decode(self.pipeline.vae, latents))[: len(batch)]

    def start(self, patches: Sequence[Patch], timesteps: Tensor, strength: float) -> Start:
        """Return what the steps begin from, with diffusers' own order of random draws.

        Patches with a picture and no region start from the noised picture (image-oriented,
        arXiv 2405.01872), as diffusers' ``StableDiffusionImg2ImgPipeline`` does; with a region and
        strength 1 they start from noise, as its inpainting pipelines do.
        """
        generators = [torch.Generator().manual_seed(patch.seed) for patch in patches]
        vae, unet = self.pipeline.vae, self.pipeline.unet
        given = [patch.picture for patch in patches if patch.picture is not None]
        pixels = to_pixels(given, vae) if given else None
        region = self._region(patches)
        pure = region is not None and strength >= 1
        clean = None
        # An inpainting model that starts from noise needs the masked picture alone.
        if pixels is not None and not (pure and self.base.inpainting):
            clean = encode(vae, pixels, generators).to(unet.dtype)
        side = self.side // self.pipeline.vae_scale_factor
        shape = len(patches), unet.config.out_channels, side, side
        noise = noise_like(torch.empty(shape, dtype=unet.dtype, device=unet.device), generators)
        if clean is None or pure:
            latents = noise
        else:
            latents = noised(self.scheduler, clean, noise, timesteps[0])
        begun = Start(latents, noise, clean, None if region is None else self._pooled(region))
        return (
            self._inpainting(begun, pixels, region, generators) if self.base.inpainting else begun
        )

    def _inpainting(
        self,
        start: Start,
        pixels: Tensor | None,
        region: Tensor | None,
        generators: Sequence[torch.Generator],
    ) -> Start:
        """Add what a model with 9 channels looks at; without a region it is shown nothing."""
        vae = self.pipeline.vae
        if pixels is None or region is None:
            size = len(start.noise), 3, self.side, self.side
            kept = torch.zeros(size, dtype=vae.dtype, device=vae.device)
        else:
            kept = pixels * (1 - region).to(pixels.dtype)
        masked = encode(vae, kept, generators).to(start.noise.dtype)
        changing = torch.ones_like(masked[:, :1]) if start.region is None else start.region
        return replace(start, region=changing, masked=masked)

    def _region(self, patches: Sequence[Patch]) -> Tensor | None:
        """``(B, 1, S, S)``, 1 where a patch may change."""
        given = [patch.region for patch in patches if patch.region is not None]
        if not given:
            return None
        unet = self.pipeline.unet
        return torch.from_numpy(np.stack(given)[:, None]).to(unet.device, unet.dtype)

    def _pooled(self, region: Tensor) -> Tensor:
        """``(B, 1, h, w)``: every latent that touches the region, so that no hair line is lost."""
        return F.max_pool2d(region, self.pipeline.vae_scale_factor)
