"""Whether an autoencoder keeps what the real pictures show, asked before it draws."""

from __future__ import annotations

import numpy as np

from millsight.generators.diffusion.autoencoder import round_trip_psnr
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.diffusion.crops import cut
from millsight.generators.diffusion.sampler import Sampler
from millsight.generators.masks.sources import real_mask, real_picture
from millsight.generators.masks.squares import LARGEST_ZOOM, squares
from millsight.generators.samples import Materials
from millsight.platform.errors import UserError

PICTURES = 16


def check_round_trip(
    sampler: Sampler, materials: Materials, label: str, config: DiffusionConfig
) -> float:
    """Encode and decode crops of real defects, as they would be drawn.

    TAESD, a small autoencoder of Stable Diffusion, returns crops of five real data sets with 25 to
    38 dB (``benchmarks/round_trip.py``; the table is in this folder's README).

    Args:
        sampler: Its autoencoder and side.
        materials: At most 16 of its defects are taken, evenly.
        label: Class.
        config: ``context`` and ``least_psnr``.

    Returns:
        PSNR in dB over all of them; infinite without real pictures.

    Raises:
        UserError: If it is below ``least_psnr`` or no number.
    """
    defects = materials.defects
    chosen = np.linspace(0, len(defects) - 1, min(PICTURES, len(defects))).round().astype(int)
    crops = []
    for at in chosen:
        picture, mask = real_picture(defects[at]), real_mask(defects[at], label)
        shown = np.ones(picture.shape[:2], np.bool_) if mask is None else mask
        least = max(1, sampler.side // LARGEST_ZOOM)
        crops.append(cut(picture, squares(shown, config.context, least)[0], sampler.side))
    if not crops:
        return float("inf")
    psnr = round_trip_psnr(sampler.pipeline.vae, crops)
    if not psnr >= config.least_psnr:
        raise UserError(
            f"--diffusion.base {sampler.base.source}: its autoencoder returns {len(crops)} crops "
            f"of {label} with {psnr:.1f} dB PSNR, below --diffusion.least_psnr "
            f"{config.least_psnr:g}: fine defects would be lost whatever is drawn. Choose a base "
            "model or a --diffusion.vae with a better one, a larger --diffusion.image_size, or a "
            "smaller --diffusion.context."
        )
    return psnr
