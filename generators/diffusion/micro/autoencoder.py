"""The autoencoder's training: what its latents keep, the U-Net can learn to draw."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from millsight.generators.diffusion.micro.config import AutoencoderConfig
from millsight.generators.diffusion.micro.pictures import SteelPictures, to_pixels
from millsight.platform.errors import UserError
from millsight.platform.training import seed_step, training_loader

BATCH = 32
WARM_UP = 0.02


class AutoencoderModule(lightning.LightningModule):
    """Trains a diffusers ``AutoencoderKL`` to give back grey pictures, defects above all.

    L = sum w |x' - x| / sum w + edges * |grad x' - grad x| + kl * KL. Without an adversary or a
    perceptual net: fine texture comes back smoother than it was, edges stay.

    Args:
        vae: Untrained.
        config: Losses and schedule.
    """

    def __init__(self, vae: Any, config: AutoencoderConfig) -> None:
        super().__init__()
        self.vae, self.config = vae.train(), config

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
            "edges": _edges(returned, pixels, weights),
            "kl": posterior.kl().mean() / pixels[0, 0].numel(),
        }
        loss: Tensor = (
            parts["pixels"] + self.config.edges * parts["edges"] + self.config.kl * parts["kl"]
        )
        require_finite(loss, self.global_step)
        for name, value in (parts | {"loss": loss}).items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "loss")
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with a short linear warm-up and a cosine decay over all steps."""
        return cosine(self, list(self.vae.parameters()), self.config.learning_rate)


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


def require_finite(loss: Tensor, step: int) -> None:
    """Stop a training that has gone astray.

    Raises:
        UserError: If the loss is not finite.
    """
    if not torch.isfinite(loss):
        raise UserError(
            f"the loss became {loss.item()} at step {step}; lower --training.learning_rate and "
            "run the command again: it goes on after the last whole epoch."
        )


def _edges(returned: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    total = pixels.new_zeros(())
    for axis in (-1, -2):
        gap = (returned.diff(dim=axis) - pixels.diff(dim=axis)).abs()
        near = weights.narrow(axis, 1, weights.shape[axis] - 1)
        total = total + (near * gap).sum() / (3 * near.sum())
    return total


def _psnr(squares: Tensor) -> float:
    """Of squared errors of pixels in [-1, 1]."""
    return 10 * math.log10(4 / max(float(squares.mean()), 1e-12)) if len(squares) else math.nan
