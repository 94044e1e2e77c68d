"""The reverse diffusion of one batch: where it starts, its steps, and what it must not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from millsight.generators.samples import steps_done
from millsight.platform.errors import UserError


@dataclass(frozen=True)
class Start:
    """What the steps begin from.

    Attributes:
        latents: ``(B, 4, h, w)``, noised as the first step expects it.
        noise: The noise in it.
        clean: ``(B, 4, h, w)`` latents of the real pictures; ``None`` where there are none.
        region: ``(B, 1, h, w)``, 1 where the picture may change; ``None`` means everywhere.
        masked: ``(B, 4, h, w)`` latents of the pictures without the region, which an inpainting
            model looks at together with the region; ``None`` for other models.
    """

    latents: Tensor
    noise: Tensor
    clean: Tensor | None = None
    region: Tensor | None = None
    masked: Tensor | None = None


def fast_scheduler(config: Mapping[str, Any]) -> Any:
    """Build DPM-Solver++ 2M (arXiv 2211.01095) with a model's own noise and prediction type."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler.from_config(config)


def begin(scheduler: Any, steps: int, strength: float, device: Any) -> Tensor:
    """Set a scheduler to the start of ``strength`` of its steps.

    Returns:
        The timesteps to do, the noisiest first.

    Raises:
        UserError: If the strength is so small that none is left.
    """
    count = steps_done(steps, strength)
    if count < 1:
        raise UserError(
            f"--spec.strength {strength}: of {steps} steps it does none, and the pictures would "
            f"stay as they are; at least {1 / steps:.3g}, or more --spec.steps."
        )
    scheduler.set_timesteps(steps, device=device)
    first = (steps - count) * scheduler.order
    scheduler.set_begin_index(first)
    timesteps: Tensor = scheduler.timesteps[first:]
    return timesteps


def noised(scheduler: Any, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """Return z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps (arXiv 2405.01872, section on start)."""
    mixed: Tensor = scheduler.add_noise(clean, noise, timestep.reshape(1))
    return mixed


def denoise(
    unet: Any,
    scheduler: Any,
    start: Start,
    timesteps: Tensor,
    *,
    conditions: Mapping[str, Any],
    guidance: float,
) -> Tensor:
    """Do the steps.

    A model with 9 channels sees region and masked picture at every step. With 4, what lies outside
    of the region is replaced by the real picture, noised as much, after every step.

    Args:
        unet: The network.
        scheduler: As ``begin`` left it.
        start: Where to start.
        timesteps: Of ``begin``.
        conditions: Text states for the U-Net; with guidance the unconditional ones first, 2 B rows.
        guidance: Scale of classifier-free guidance (arXiv 2207.12598); at 1 there is one pass.

    Returns:
        ``(B, 4, h, w)`` latents.
    """
    latents = start.latents
    for number, timestep in enumerate(timesteps):
        given = scheduler.scale_model_input(latents, timestep)
        if start.masked is not None and start.region is not None:
            given = torch.cat([given, start.region, start.masked], dim=1)
        if guidance > 1:
            given = torch.cat([given, given])
        predicted = unet(given, timestep, **conditions, return_dict=False)[0]
        if guidance > 1:
            without, with_text = predicted.chunk(2)
            predicted = without + guidance * (with_text - without)
        latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        if start.clean is not None and start.region is not None and start.masked is None:
            last = number + 1 == len(timesteps)
            kept = (
                start.clean
                if last
                else noised(scheduler, start.clean, start.noise, timesteps[number + 1])
            )
            latents = torch.lerp(kept, latents, start.region)
    return latents
