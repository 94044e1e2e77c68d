"""Pictures of a checkpoint, and how they compare with real ones it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from millsight.generators.diffusion.autoencoder import decode, noise_like, to_pictures
from millsight.generators.diffusion.crops import to_uint8, without_colour
from millsight.generators.diffusion.denoising import Start, begin, denoise, fast_scheduler
from millsight.generators.diffusion.pipelines import unet_arguments
from millsight.generators.diffusion.training.latents import mask_conditions
from millsight.generators.quality.features import nearest_distances
from millsight.generators.quality.kid import kernel_inception_distance

Picture = NDArray[np.uint8]
Place = tuple[Picture, NDArray[np.bool_]]


@dataclass(frozen=True)
class Quality:
    """How one class's generated pictures compare with real ones.

    Attributes:
        kid: Unbiased KID to the validation crops.
        distance: Median distance of a generated picture to its nearest training crop, as a share
            of that of a validation crop; far below 1, training pictures were learned by heart.
    """

    kid: float
    distance: float


def compare(
    generated: NDArray[np.float32],
    learned: NDArray[np.float32],
    validated: NDArray[np.float32],
) -> Quality:
    """Compare features of pictures.

    Args:
        generated: ``(N, D)``, N at least 2.
        learned: ``(M, D)`` of training crops.
        validated: ``(K, D)`` of validation crops, K at least 2.
    """
    usual = float(np.median(nearest_distances(validated, learned)))
    found = float(np.median(nearest_distances(generated, learned)))
    share = found / usual if usual > 0 else float("inf")
    return Quality(kernel_inception_distance(generated, validated), share)


def is_better(new: Quality, old: Quality | None, least_distance: float) -> bool:
    """Say whether a checkpoint is better than the best so far.

    Among those that keep their distance from the training pictures, the lower KID is better; a
    checkpoint that keeps it is better than one that does not; among the others, the farther one.
    """
    if old is None:
        return True
    keeps, kept = new.distance >= least_distance, old.distance >= least_distance
    if keeps != kept:
        return keeps
    return new.kid < old.kid if keeps else new.distance > old.distance


def summarise(found: Mapping[str, Quality]) -> Quality:
    """Return the mean KID of all classes, and the distance of the class with the least."""
    return Quality(
        float(np.mean([one.kid for one in found.values()])),
        min(one.distance for one in found.values()),
    )


@dataclass(frozen=True)
class Sampling:
    """How pictures of a checkpoint are made, from noise by DPM-Solver++ (2M).

    Attributes:
        side: Of the pictures, pixels.
        steps: Denoising steps.
        guidance: Scale of classifier-free guidance.
        grey: Whether the pictures are to have no colour.
        batch: Pictures at once.
    """

    side: int
    steps: int
    guidance: float
    grey: bool
    batch: int


@torch.no_grad()
def sample_class(
    pipeline: Any,
    text: Mapping[str, Tensor],
    seeds: Sequence[int],
    sampling: Sampling,
    places: Sequence[Place] = (),
) -> list[Picture]:
    """Generate pictures of one prompt.

    Args:
        pipeline: Of diffusers.
        text: Text states of no prompt and of the prompt, two rows each.
        seeds: One per picture; a picture depends on its own alone.
        sampling: How.
        places: For inpainting models, which picture is changed where, by turns.

    Returns:
        ``(side, side, 3)`` uint8 RGB each.
    """
    scheduler = fast_scheduler(pipeline.scheduler.config)
    pictures: list[Picture] = []
    for first in range(0, len(seeds), sampling.batch):
        own = range(first, min(first + sampling.batch, len(seeds)))
        guided = sampling.guidance > 1
        rows = [0] * (len(own) * guided) + [1] * len(own)
        states = {name: tensor[rows] for name, tensor in text.items()}
        conditions = unet_arguments(states, sampling.side)
        timesteps = begin(scheduler, sampling.steps, 1.0, pipeline.unet.device)
        chosen = [places[at % len(places)] for at in own] if places else []
        start = _start(pipeline, [seeds[at] for at in own], sampling.side, chosen)
        latents = denoise(
            pipeline.unet,
            scheduler,
            start,
            timesteps,
            conditions=conditions,
            guidance=sampling.guidance,
        )
        found = to_pictures(decode(pipeline.vae, latents))
        pictures += [
            to_uint8(without_colour(picture) if sampling.grey else picture) for picture in found
        ]
    return pictures


def _start(pipeline: Any, seeds: Sequence[int], side: int, places: Sequence[Place]) -> Start:
    # On the CPU, so that every device starts from the same noise.
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    latent_side = side // pipeline.vae_scale_factor
    shape = len(seeds), pipeline.unet.config.out_channels, latent_side, latent_side
    noise = noise_like(torch.empty(shape, device=pipeline.unet.device), generators)
    if not places:
        return Start(noise, noise)
    pictures, masks = zip(*places, strict=True)
    seen = mask_conditions(pipeline.vae, pictures, masks)
    region, masked = (seen[name].to(noise.device) for name in ("region", "masked"))
    return Start(noise, noise, region=region, masked=masked)
