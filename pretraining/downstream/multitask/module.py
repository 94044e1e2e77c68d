"""The Lightning module: it knows nothing of where it runs."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor

from millsight.platform.training import require_finite
from millsight.pretraining.downstream.multitask.config import MultitaskConfig
from millsight.pretraining.downstream.multitask.losses import Batch, multitask_losses
from millsight.pretraining.downstream.multitask.model import MultitaskModel, MultitaskOutput
from millsight.pretraining.downstream.schedule import rate

CLIP_NORM = 1.0
# Of the loss; the others are sums of them.
PARTS = ("bce", "dice", "sample")


class MultitaskModule(lightning.LightningModule):
    """Trains a ``MultitaskModel``; the same in process and on each worker of Ray Train.

    Args:
        model: The network; its state is the module's under ``model.``.
        config: Losses and schedule.
    """

    def __init__(self, model: MultitaskModel, config: MultitaskConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, pictures: Tensor) -> MultitaskOutput:
        """See ``MultitaskModel.forward``."""
        output: MultitaskOutput = self.model(pictures)
        return output

    def on_train_epoch_start(self) -> None:
        """Seed by epoch, so that a resumed run draws what an uninterrupted one does."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss; log it with its parts.

        Raises:
            UserError: If it is not finite.
        """
        losses = multitask_losses(self(batch.pictures), batch, self.config.sample_weight)
        parts = {name: loss for name, loss in losses.items() if name in PARTS}
        require_finite(parts, self.global_step, "--training.learning_rate")
        for name, value in losses.items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "loss")
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the losses, averaged over the pictures."""
        losses = multitask_losses(self(batch.pictures), batch, self.config.sample_weight)
        named = {f"val/{name}": value for name, value in losses.items()}
        self.log_dict(named, batch_size=len(batch.pictures), on_epoch=True)

    def configure_optimizers(self) -> Any:
        """AdamW with a linear warm-up and a cosine decay over all steps of the run."""
        encoder = list(self.model.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        heads = [p for p in self.parameters() if id(p) not in known]
        peak = self.config.learning_rate
        groups: list[dict[str, Any]] = [
            {"params": heads},
            {"params": encoder, "lr": peak * self.config.encoder_rate},
        ]
        optimizer = torch.optim.AdamW(groups, lr=peak, weight_decay=self.config.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
