"""The autoencoder's training: what its latents keep, the U-Net can learn to draw."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, default_collate

from millsight.generators.diffusion.micro.config import AutoencoderConfig
from millsight.generators.diffusion.micro.pictures import SteelPictures, to_pixels
from millsight.platform.errors import UserError
from millsight.platform.training import require_finite, seed_step, training_loader
from millsight.platform.weights import build_model, load_weights

BATCH = 32
WARM_UP = 0.02
# Of a network: those that see texture and edges.
LEVELS = 3


class AutoencoderModule(lightning.LightningModule):
    """Trains a diffusers ``AutoencoderKL`` to give back grey pictures, defects above all.

    L = sum w |x' - x| / sum w + perceptual * P(x', x) + kl * KL, P by ``PerceptualDistance``.

    Args:
        vae: Untrained.
        config: Losses and schedule.

    Raises:
        UserError: If the network cannot be loaded.
    """

    def __init__(self, vae: Any, config: AutoencoderConfig) -> None:
        super().__init__()
        self.vae = vae.train().to(memory_format=torch.channels_last)
        self.config = config
        self._perceptual = PerceptualDistance(config.network) if config.perceptual else None

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Seed by step; see ``seed_step``."""
        seed_step(self.config.seed, self.current_epoch, batch_index)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Return the loss; log it with its parts.

        Raises:
            UserError: If it is not finite.
        """
        pixels, weights = batch
        posterior = self.vae.encode(pixels).latent_dist
        returned = self.vae.decode(posterior.sample()).sample
        parts = {
            "pixels": (weights * (returned - pixels).abs()).sum() / (3 * weights.sum()),
            "kl": posterior.kl().mean() / pixels[0, 0].numel(),
        }
        loss: Tensor = parts["pixels"] + self.config.kl * parts["kl"]
        if self._perceptual is not None:
            parts["perceptual"] = self._perceptual(returned, pixels)
            loss = loss + self.config.perceptual * parts["perceptual"]
        require_finite(parts, self.global_step, "--training.learning_rate")
        for name, value in (parts | {"loss": loss}).items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "loss")
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with a short linear warm-up and a cosine decay over all steps."""
        return cosine(self, list(self.vae.parameters()), self.config.learning_rate)


class PerceptualDistance(nn.Module):
    """How differently two pictures look to a network that knows pictures.

    Mean square distance of unit feature vectors, summed over the first levels: LPIPS of Zhang et
    al. 2018, eq. 1, with all its weights 1.

    Args:
        source: Weights of a timm network; they stay as they are.

    Raises:
        UserError: If they cannot be loaded, or are no timm network's.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, source: str) -> None:
        super().__init__()
        loaded = load_weights(source)
        if loaded.library != "timm":
            raise UserError(f"--training.network {source}: name a timm network.")
        network: Any = build_model(loaded)
        self._network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        for name in ("mean", "std"):
            values = torch.tensor(getattr(loaded, name), dtype=torch.float32)
            self.register_buffer(name, values.view(3, 1, 1), persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the mean over ``(N, 3, H, W)`` float32 pictures in [-1, 1]."""
        levels = zip(self._features(first), self._features(second), strict=True)
        return torch.stack([(a - b).square().sum(dim=1).mean() for a, b in levels]).sum()

    def _features(self, pictures: Tensor) -> list[Tensor]:
        normal = ((pictures + 1) / 2 - self.mean) / self.std
        levels = self._network.forward_intermediates(
            normal, indices=list(range(LEVELS)), intermediates_only=True
        )
        return [functional.normalize(level, dim=1) for level in levels]


class TrainingItems(lightning.LightningDataModule):
    """A dataset by ``(epoch, index)`` as shuffled batches, in memory and so without loaders.

    Args:
        items: To learn from.
        batch_size: Items per step.
        seed: Of the order.
    """

    def __init__(self, items: Dataset[Any], batch_size: int, seed: int) -> None:
        super().__init__()
        self._items, self._batch_size, self._seed = items, batch_size, seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Return whole batches only."""
        return training_loader(
            self._items,
            self._batch_size,
            seed=self._seed,
            loaders=0,
            trainer=self.trainer,
            collate=default_collate,
        )


@torch.no_grad()
def measure(vae: Any, data: SteelPictures) -> dict[str, float]:
    """Return how well pictures come back, and the spread of their latents.

    Returns:
        ``psnr`` over all pixels and ``psnr_defects`` over those of defects, dB for pixels in
        [0, 255]; ``latent_std`` of the posterior's mean.
    """
    errors, defects, latents = [], [], []
    for start in range(0, len(data), BATCH):
        pixels = to_pixels(data.pictures[start : start + BATCH]).to(vae.device)
        mean = vae.encode(pixels).latent_dist.mean
        squares = (vae.decode(mean).sample.clamp(-1, 1) - pixels).square().mean(dim=1).cpu()
        errors.append(squares.flatten())
        defects.append(squares[torch.from_numpy(data.masks[start : start + BATCH])])
        latents.append(mean.cpu())
    return {
        "psnr": _psnr(torch.cat(errors)),
        "psnr_defects": _psnr(torch.cat(defects)),
        "latent_std": float(torch.cat(latents).std()),
    }


def cosine(module: lightning.LightningModule, learned: list[Any], rate: float) -> dict[str, Any]:
    """Return AdamW with a warm-up over the first steps and a cosine decay to nothing."""
    optimizer = torch.optim.AdamW(learned, lr=rate, weight_decay=1e-4)
    steps = int(module.trainer.estimated_stepping_batches)
    warm = max(1, round(WARM_UP * steps))

    def share(step: int) -> float:
        past = max(0.0, (step - warm) / max(1, steps - warm))
        return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(past, 1.0))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _psnr(squares: Tensor) -> float:
    """Of squared errors of pixels in [-1, 1]."""
    return 10 * math.log10(4 / max(float(squares.mean()), 1e-12)) if len(squares) else math.nan
