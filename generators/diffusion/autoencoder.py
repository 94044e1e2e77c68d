"""Pictures to latents and back, with a random generator for every picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from numpy.typing import NDArray
from torch import Tensor

Generators = Sequence[torch.Generator]


def to_pixels(pictures: Sequence[NDArray[np.uint8]], vae: Any) -> Tensor:
    """Return ``(B, 3, H, W)`` in [-1, 1], of the autoencoder's type, from ``(H, W, 3)`` uint8."""
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(vae.device)
    # In this order, so that it equals diffusers' own to the last bit.
    scaled: Tensor = 2.0 * (pixels.float() / 255.0) - 1.0
    return scaled.to(vae.dtype)


def to_pictures(pixels: Tensor) -> NDArray[np.float32]:
    """Return ``(B, H, W, 3)`` float32 grey levels in [0, 255] from ``(B, 3, H, W)`` in [-1, 1]."""
    # What overflowed becomes black, which the filters know.
    levels = (pixels.float() / 2 + 0.5).nan_to_num(0.0).clamp(0, 1) * 255
    pictures: NDArray[np.float32] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return pictures


def encode(vae: Any, pixels: Tensor, generators: Generators | None = None) -> Tensor:
    """Return latents, scaled as the U-Net wants them.

    Args:
        vae: ``AutoencoderKL``, or ``AutoencoderTiny``, which has no posterior.
        pixels: ``(B, 3, H, W)`` in [-1, 1].
        generators: One per picture, to draw from its posterior; by default its mode is taken.

    Returns:
        ``(B, 4, H / f, W / f)``.
    """
    encoded = vae.encode(pixels)
    if not hasattr(encoded, "latent_dist"):
        latents: Tensor = encoded.latents
    elif generators is None:
        latents = encoded.latent_dist.mode()
    else:
        posterior = encoded.latent_dist
        latents = posterior.mean + posterior.std * noise_like(posterior.mean, generators)
    scaled: Tensor = latents * vae.config.scaling_factor
    return scaled


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Return ``(B, 3, H, W)`` pixels around [-1, 1] from latents."""
    pixels: Tensor = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample
    return pixels


def noise_like(latents: Tensor, generators: Generators) -> Tensor:
    """Return standard normal noise, one generator for each row, drawn on the generator's device."""
    noise: Tensor = randn_tensor(
        latents.shape, generator=list(generators), device=latents.device, dtype=latents.dtype
    )
    return noise
