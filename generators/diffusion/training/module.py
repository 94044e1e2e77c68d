"""The Lightning module that adapts a base model; it knows nothing of where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from millsight.generators.diffusion.pipelines import unet_arguments
from millsight.generators.diffusion.training.config import AdaptationConfig
from millsight.generators.diffusion.training.losses import (
    masked_loss,
    prediction_target,
    snr_weights,
)
from millsight.generators.diffusion.training.prompts import States, encode_prompts, take
from millsight.generators.diffusion.training.tokens import (
    DELTA,
    ClassWords,
    adapt,
    text_encoders,
    token_rows,
)
from millsight.platform.training import require_finite, seed_step


class AdaptationModule(lightning.LightningModule):
    """Learns new tokens and low-rank weights; the same in process and on workers of Ray Train.

    Its state is what can learn; the base model's own weights are neither changed nor saved.

    Args:
        pipeline: Of the base model, in float32; it is adapted in place.
        words: Of the classes.
        config: What to learn, and how.
        side: Of the crops, pixels.

    Raises:
        UserError: If the base model predicts something that cannot be trained.
    """

    def __init__(
        self,
        pipeline: Any,
        words: Sequence[ClassWords],
        config: AdaptationConfig,
        side: int,
    ) -> None:
        super().__init__()
        self.config, self.words, self.side = config, tuple(words), side
        schedule: Any = DDPMScheduler
        self.schedule = schedule.from_config(pipeline.scheduler.config)
        weights = snr_weights(
            self.schedule.alphas_cumprod, self.schedule.config.prediction_type, config.min_snr
        )
        adapt(pipeline, words, config)
        self.pipeline = pipeline
        self.unet, self.vae = pipeline.unet, pipeline.vae
        self.encoders = nn.ModuleList(text_encoders(pipeline))
        self.step_weights: Tensor
        self.register_buffer("step_weights", weights, persistent=False)
        self.strict_loading = False
        self._states: States | None = None
        # Nothing here behaves otherwise in training; evaluation mode keeps it so.
        self.eval()

    def state_dict(self, *arguments: Any, **named: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the tensors that can learn."""
        learned = {name for name, own in self.named_parameters() if own.requires_grad}
        whole = super().state_dict(*arguments, **named)
        return {name: tensor for name, tensor in whole.items() if name in learned}

    def on_fit_start(self) -> None:
        """Forget text states of other tokens."""
        self._states = None

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Seed by step and worker, so that a resumed run draws what an uninterrupted one does."""
        place = batch_index * self.trainer.world_size + self.trainer.global_rank
        seed_step(self.config.seed, self.current_epoch, place)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """Return the loss.

        Raises:
            UserError: If it is not finite.
        """
        latents = self._draw(batch["mean"], batch["std"]) * self.vae.config.scaling_factor
        noise = self._noise(latents)
        steps = torch.randint(len(self.step_weights), (len(latents),)).to(self.device)
        noisy = self.schedule.add_noise(latents, noise, steps)
        if "masked" in batch:
            noisy = torch.cat([noisy, batch["region"], batch["masked"]], dim=1)
        predicted = self.unet(
            noisy, steps, **unet_arguments(self._text(batch["prompt"]), self.side)
        ).sample
        target = prediction_target(self.schedule, latents, noise, steps)
        loss = masked_loss(predicted, target, batch["places"], self.step_weights[steps])
        ways_out = "--training.learning_rate or --training.token_rate"
        require_finite({"noise": loss}, self.global_step, ways_out)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(latents))
        return loss + self._held_still()

    def text_states(self) -> States:
        """Return the states of all prompts, and of no prompt last, as they are now."""
        return encode_prompts(self.pipeline, [*(item.sentence for item in self.words), ""])

    def configure_optimizers(self) -> Any:
        """AdamW; the tokens do not decay, and stand still after their share of the steps."""
        tokens: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, own in self.named_parameters():
            if own.requires_grad:
                (tokens if DELTA in name else others).append(own)
        groups = [
            {"params": tokens, "lr": self.config.token_rate, "weight_decay": 0.0},
            {"params": others, "lr": self.config.learning_rate},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
        rates = [self._token_factor, lambda step: 1.0]
        kept = [rate for rate, group in zip(rates, groups, strict=True) if group["params"]]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, kept)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _token_factor(self, step: int) -> float:
        return float(step < self.config.frozen_from)

    def _draw(self, mean: Tensor, std: Tensor) -> Tensor:
        return mean + std * self._noise(mean)

    def _noise(self, like: Tensor) -> Tensor:
        # Drawn on the CPU, so that every device sees the same.
        return torch.randn(like.shape).to(like)

    def _text(self, prompts: Tensor) -> States:
        """Return the states of a batch's prompts, from memory once they no longer change."""
        fixed = not self.config.vectors or self.global_step >= self.config.frozen_from
        if fixed and not self.config.text_rank:
            if self._states is None:
                with torch.no_grad():
                    self._states = self.text_states()
            return take(self._states, prompts)
        shown, places = torch.unique(prompts, return_inverse=True)
        sentences = [*(item.sentence for item in self.words), ""]
        return take(encode_prompts(self.pipeline, [sentences[at] for at in shown.tolist()]), places)

    def _held_still(self) -> Tensor:
        """Zero that the tokens are part of: workers wait for the gradient of all that can learn."""
        rows = [own.sum() for encoder in self.encoders if (own := token_rows(encoder)) is not None]
        return torch.stack(rows).sum() * 0 if rows else torch.zeros((), device=self.device)
