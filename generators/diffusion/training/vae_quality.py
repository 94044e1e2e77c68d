"""What an autoencoder leaves of real pictures, measured before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from millsight.generators.diffusion.autoencoder import decode, to_pictures
from millsight.generators.diffusion.training.latents import posterior
from millsight.platform.errors import UserError

BATCH = 4


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


def check_psnr(psnr: float, least: float, source: str) -> None:
    """Refuse an autoencoder that loses too much.

    Raises:
        UserError: If the PSNR is below ``least``, or there is none.
    """
    if np.isnan(psnr):
        raise UserError(
            f"--training.base {source}: its autoencoder gives no finite pictures, so that its "
            "quality cannot be measured; its weights are damaged, or made for half precision with "
            "another autoencoder beside them."
        )
    if psnr < least:
        raise UserError(
            f"--training.base {source}: its autoencoder returns these pictures with {psnr:.1f} dB "
            f"PSNR, and at least {least:g} dB are asked for: fine defects would be lost before "
            "anything is learned. Choose a base model with a better autoencoder, a larger "
            "--training.image_size, a smaller --training.context, or lower --training.least_psnr."
        )
