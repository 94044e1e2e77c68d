"""Crops as latents, encoded once: the training never runs the autoencoder again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from millsight.generators.diffusion.autoencoder import posterior
from millsight.generators.diffusion.training.config import AdaptationConfig
from millsight.generators.diffusion.training.crops import Crop, grown
from millsight.generators.diffusion.training.losses import place_weights
from millsight.platform.training import training_loader

Progress = Callable[[int, int], None]
# Mirrored axes of ``(H, W)``; the autoencoder does not commute with a mirror, so each is encoded.
MIRRORS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))
BATCH = 4


@dataclass(frozen=True)
class Latents:
    """The autoencoder's posterior of every crop, as it is and mirrored.

    Attributes:
        tensors: ``(N, M, C, h, w)`` float32 each: ``mean`` and ``std`` (0 for autoencoders without
            a posterior), not yet scaled as the U-Net wants them, and ``places``, one channel, the
            weights of the loss. For inpainting models also ``region``, one channel, 1 where the
            mask touches a latent, and ``masked``, the scaled latents of the crops without it.
        labels: Class of each crop.
        pictures: Id of each crop's picture.
    """

    tensors: Mapping[str, Tensor]
    labels: tuple[str, ...]
    pictures: tuple[str, ...]


@torch.no_grad()
def encode_crops(
    vae: Any,
    crops: Sequence[Crop],
    config: AdaptationConfig,
    progress: Progress,
    *,
    inpainting: bool = False,
) -> Latents:
    """Encode crops on the autoencoder's device; the result is on the CPU."""
    mirrors = MIRRORS if config.flips else MIRRORS[:1]
    views = [
        (np.flip(crop.picture, axes), np.flip(grown(crop, config.dilation), axes))
        for crop in crops
        for axes in mirrors
    ]
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(views), BATCH):
        pictures, masks = zip(*views[start : start + BATCH], strict=True)
        mean, std = posterior(vae, pictures)
        size = mean.shape[-2], mean.shape[-1]
        drawn = torch.from_numpy(np.stack(masks)).float()
        part = {"mean": mean, "std": std, "places": place_weights(drawn, size, config.outside)}
        parts.append(part | (mask_conditions(vae, pictures, masks) if inpainting else {}))
        progress(min(start + BATCH, len(views)), len(views))
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    tensors = {
        name: tensor.reshape(len(crops), len(mirrors), *tensor.shape[1:])
        for name, tensor in joined.items()
    }
    labels, sources = zip(*((crop.label, crop.sample_id) for crop in crops), strict=True)
    return Latents(tensors, labels, sources)


def mask_conditions(
    vae: Any, pictures: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.bool_]]
) -> dict[str, Tensor]:
    """Return what an inpainting model looks at beside the noisy latents.

    Args:
        vae: The autoencoder.
        pictures: ``(S, S, 3)`` uint8.
        masks: ``(S, S)`` bool, what is to be filled.

    Returns:
        ``region`` ``(B, 1, h, w)`` and ``masked`` ``(B, C, h, w)``, scaled, on the CPU.
    """
    blank = np.uint8(255 // 2)
    kept = [
        np.where(mask[..., None], blank, picture)
        for picture, mask in zip(pictures, masks, strict=True)
    ]
    mean, _ = posterior(vae, kept)
    drawn = torch.from_numpy(np.stack(masks)[:, None]).float()
    region = torch.nn.functional.max_pool2d(drawn, drawn.shape[-1] // mean.shape[-1])
    return {"region": region, "masked": mean * vae.config.scaling_factor}


class LatentDraws(Dataset[dict[str, Tensor]]):
    """Crops by ``(epoch, index)``: classes take turns, then pictures and their crops alike.

    The same key gives the same item in any worker.

    Args:
        latents: Of all crops.
        classes: Names, in the order of the prompts.
        config: Seed, and the share without a prompt.
        length: Items of an epoch.
    """

    def __init__(
        self, latents: Latents, classes: Sequence[str], config: AdaptationConfig, length: int
    ) -> None:
        self._latents, self._config, self._length = latents, config, length
        self._pictures: list[list[list[int]]] = []
        for name in classes:
            found: dict[str, list[int]] = {}
            for at, (label, picture) in enumerate(
                zip(latents.labels, latents.pictures, strict=True)
            ):
                if label == name:
                    found.setdefault(picture, []).append(at)
            self._pictures.append(list(found.values()))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Return the tensors of one crop, ``(C, h, w)`` each, and its ``prompt``.

        ``prompt`` is the class's number, or the number of classes for no prompt.
        """
        epoch, index = key
        draw = np.random.default_rng([self._config.seed, epoch, index])
        label = index % len(self._pictures)
        crops = self._pictures[label][draw.integers(len(self._pictures[label]))]
        crop = crops[draw.integers(len(crops))]
        mirror = int(draw.integers(self._latents.tensors["mean"].shape[1]))
        bare = draw.random() < self._config.unconditional
        prompt = torch.tensor(len(self._pictures) if bare else label)
        own = {name: tensor[crop, mirror] for name, tensor in self._latents.tensors.items()}
        return own | {"prompt": prompt}


class LatentData(lightning.LightningDataModule):
    """Latents as batches; an epoch is what lies between two checkpoints.

    Args:
        latents: Of all crops.
        classes: Names, in the order of the prompts.
        config: Batch size, steps and seed.
    """

    def __init__(self, latents: Latents, classes: Sequence[str], config: AdaptationConfig) -> None:
        super().__init__()
        self._latents, self._classes, self._config = latents, tuple(classes), config

    def train_dataloader(self) -> DataLoader[Any]:
        """Return ``check_every`` whole batches for every worker."""
        workers = self.trainer.world_size if self.trainer else 1
        length = self._config.check_every * self._config.batch_size * workers
        return training_loader(
            LatentDraws(self._latents, self._classes, self._config, length),
            self._config.batch_size,
            seed=self._config.seed,
            loaders=0,
            trainer=self.trainer,
            collate=_collate,
        )


def _collate(items: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}
