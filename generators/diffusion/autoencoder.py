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
# Pictures that are encoded and decoded at once to measure.
BATCH = 4


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


def posterior(vae: Any, pictures: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``(B, C, h, w)`` of ``(H, W, 3)`` uint8 pictures."""
    encoded = vae.encode(to_pixels(pictures, vae))
    if hasattr(encoded, "latent_dist"):
        mean, std = encoded.latent_dist.mean, encoded.latent_dist.std
    else:
        mean, std = encoded.latents, torch.zeros_like(encoded.latents)
    return mean.float().cpu(), std.float().cpu()


@torch.no_grad()
def round_trip_psnr(vae: Any, pictures: Sequence[NDArray[np.uint8]]) -> float:
    """Return the PSNR, in dB, of pictures that were encoded and decoded.

    Peak signal 255; from the mean square error over all pictures, pixels and channels.

    Args:
        vae: Of diffusers; runs on its own device.
        pictures: ``(S, S, 3)`` uint8, at least one, all of one size.

    Returns:
        NaN if the autoencoder gives no finite numbers.
    """
    errors = []
    for start in range(0, len(pictures), BATCH):
        batch = pictures[start : start + BATCH]
        mean, _ = posterior(vae, batch)
        scaled = mean.to(vae.device) * vae.config.scaling_factor
        pixels = decode(vae, scaled)
        if not pixels.isfinite().all():
            return float("nan")
        seen = to_pictures(pixels)
        errors += [float(np.square(seen[at] - picture).mean()) for at, picture in enumerate(batch)]
    error = float(np.mean(errors))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))
