"""The U-Net's and the text encoder's training, on latents that were encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset

from millsight.generators.diffusion.micro.autoencoder import BATCH, cosine
from millsight.generators.diffusion.micro.config import DenoiserConfig
from millsight.generators.diffusion.micro.pictures import SteelPictures, to_pixels
from millsight.generators.diffusion.training.losses import prediction_target, snr_weights
from millsight.platform.progress import Progress
from millsight.platform.training import require_finite, seed_step

CLIP_NORM = 1.0
# Of which shares of the schedule the held-out loss is the mean.
MEASURED = (0.1, 0.3, 0.5, 0.7, 0.9)


class DescribedLatents(Dataset[dict[str, Tensor]]):
    """Latents by ``(epoch, index)``, each with one of its sentences.

    Args:
        latents: ``(N, 4, h, w)`` float32, scaled.
        sentences: Token ids of each picture's sentences, ``(M_i, 77)``.
        empty: Token ids of no sentence, ``(77,)``.
        config: Share without a sentence, and seed.
    """

    def __init__(
        self, latents: Tensor, sentences: Sequence[Tensor], empty: Tensor, config: DenoiserConfig
    ) -> None:
        self._latents, self._sentences = latents, sentences
        self._empty, self._config = empty, config

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Return ``latents`` and ``tokens``; the same key gives the same item in any worker."""
        epoch, index = key
        draw = np.random.default_rng([self._config.seed, epoch, index])
        known = self._sentences[index]
        # The plainest half the time: it is what adapters and people ask with.
        at = 0 if draw.random() < 0.5 else int(draw.integers(len(known)))
        bare = draw.random() < self._config.unconditional
        return {"latents": self._latents[index], "tokens": self._empty if bare else known[at]}


class DenoiserModule(lightning.LightningModule):
    """Trains U-Net and text encoder together; keeps a moving average of both.

    Args:
        pipeline: Untrained, with its tokenizer and noise schedule.
        config: Losses and schedule.
    """

    weights: Tensor

    def __init__(self, pipeline: Any, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self.network = nn.ModuleDict({"unet": pipeline.unet, "text": pipeline.text_encoder}).train()
        self.network.to(memory_format=torch.channels_last)
        average: Any = cast(Any, get_ema_multi_avg_fn)(config.ema)
        self.average = AveragedModel(self.network, multi_avg_fn=average).eval()
        self.average.requires_grad_(False)
        self._scheduler = pipeline.scheduler
        alphas = pipeline.scheduler.alphas_cumprod
        kind = pipeline.scheduler.config.prediction_type
        self.register_buffer("weights", snr_weights(alphas, kind, config.min_snr), persistent=False)

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Seed by step; see ``seed_step``."""
        seed_step(self.config.seed, self.current_epoch, batch_index)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """Return the weighted error of the prediction; log it.

        Raises:
            UserError: If it is not finite.
        """
        latents = batch["latents"]
        steps = torch.randint(len(self.weights), (len(latents),), device=latents.device)
        errors = self._errors(self.network, latents, batch["tokens"], steps)
        loss = (self.weights[steps] * errors).mean()
        require_finite({"noise": loss}, self.global_step, "--training.learning_rate")
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Change the weights, and let their average follow."""
        super().optimizer_step(*args, **kwargs)
        self.average.update_parameters(self.network)

    def configure_optimizers(self) -> Any:
        """AdamW with a short linear warm-up and a cosine decay over all steps."""
        return cosine(self, list(self.network.parameters()), self.config.learning_rate)

    @torch.no_grad()
    def held_out_loss(self, latents: Tensor, tokens: Tensor) -> float:
        """Return the averaged network's unweighted error on pictures it has not seen.

        Args:
            latents: ``(N, 4, h, w)``, scaled.
            tokens: ``(N, 77)``.
        """
        found = []
        for share in MEASURED:
            for start in range(0, len(latents), BATCH):
                part = slice(start, start + BATCH)
                torch.manual_seed(start)
                steps = torch.full((len(latents[part]),), int(share * len(self.weights)))
                errors = self._errors(self.average.module, latents[part], tokens[part], steps)
                found.append(errors)
        return float(torch.cat(found).mean())

    def _errors(self, network: Any, latents: Tensor, tokens: Tensor, steps: Tensor) -> Tensor:
        noise = torch.randn_like(latents)
        noisy = self._scheduler.add_noise(latents, noise, steps)
        text = network["text"](tokens).last_hidden_state
        predicted = network["unet"](noisy, steps, text).sample
        target = prediction_target(self._scheduler, latents, noise, steps)
        errors: Tensor = (predicted - target).square().mean(dim=(1, 2, 3))
        return errors


@torch.no_grad()
def encode(vae: Any, data: SteelPictures, progress: Progress) -> Tensor:
    """Return the pictures' latents ``(N, 4, h, w)``, scaled as the U-Net wants them."""
    found = []
    for start in range(0, len(data), BATCH):
        pixels = to_pixels(data.pictures[start : start + BATCH])
        found.append(vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor)
        progress(min(start + BATCH, len(data)), len(data))
    return torch.cat(found)


def tokenize(tokenizer: Any, sentences: Sequence[str]) -> Tensor:
    """Return token ids ``(N, 77)``; what is too long is cut off."""
    ids: Tensor = tokenizer(
        list(sentences),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return ids
