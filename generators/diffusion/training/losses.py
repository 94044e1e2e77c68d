"""What the U-Net is to predict, and how much of its error counts where and when."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from millsight.platform.errors import UserError


def snr_weights(alphas_cumprod: Tensor, prediction_type: str, gamma: float) -> Tensor:
    """Return how much the error at each step of the noise schedule counts.

    Min-SNR weighting (Hang et al., 2023, arXiv 2303.09556, section 3.4): the loss on the clean
    latent counts min(SNR, gamma), with SNR = abar / (1 - abar). A loss on the noise is SNR times,
    one on the velocity SNR + 1 times that on the clean latent, so their weights are
    min(SNR, gamma) / SNR and min(SNR, gamma) / (SNR + 1).

    Args:
        alphas_cumprod: ``(T,)`` abar of the schedule, in [0, 1].
        prediction_type: ``epsilon`` or ``v_prediction``.
        gamma: 0 makes all weights 1.

    Raises:
        UserError: If the model predicts something else.
    """
    if prediction_type not in {"epsilon", "v_prediction"}:
        raise UserError(
            f"--training.base: the model predicts {prediction_type!r}; epsilon and v_prediction "
            "can be trained."
        )
    if not gamma:
        return torch.ones_like(alphas_cumprod)
    noise = 1 - alphas_cumprod
    if prediction_type == "epsilon":
        # min(SNR, gamma) / SNR, without dividing by an SNR of 0.
        return torch.clamp(gamma * noise / alphas_cumprod, max=1)
    # The same for SNR + 1 = 1 / (1 - abar).
    return torch.minimum(alphas_cumprod, gamma * noise)


def prediction_target(scheduler: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Return what the U-Net is to predict, shaped as the latents ``(B, C, h, w)``."""
    if scheduler.config.prediction_type == "epsilon":
        return noise
    velocity: Tensor = scheduler.get_velocity(latents, noise, timesteps)
    return velocity


def place_weights(mask: Tensor, size: tuple[int, int], outside: float) -> Tensor:
    """Return the weight of every latent: 1 inside the mask, ``outside`` elsewhere.

    Args:
        mask: ``(B, H, W)`` float, 1 inside.
        size: ``(h, w)`` of the latents.
        outside: In [0, 1].

    Returns:
        ``(B, 1, h, w)``; latents that the mask covers in part lie between.
    """
    covered = torch.nn.functional.interpolate(mask[:, None], size, mode="area")
    return outside + (1 - outside) * covered


def masked_loss(predicted: Tensor, target: Tensor, places: Tensor, steps: Tensor) -> Tensor:
    """Return the weighted mean square error, a scalar in float32.

    Each crop counts the same whatever its mask's area: the weights of its places are divided by
    their mean.

    Args:
        predicted: ``(B, C, h, w)``.
        target: ``(B, C, h, w)``.
        places: ``(B, 1, h, w)``; not 0 everywhere.
        steps: ``(B,)`` weight of each crop's noise level.
    """
    error = (predicted.float() - target.float()).square().mean(dim=1)
    weights = places[:, 0] / places[:, 0].mean(dim=(1, 2), keepdim=True)
    return ((weights * error).mean(dim=(1, 2)) * steps).mean()
