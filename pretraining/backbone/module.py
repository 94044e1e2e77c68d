"""The Lightning module of backbone pretraining: a task, and distillation beside it."""

from __future__ import annotations

import math
from typing import Any, cast

import lightning
import torch
from torch import Tensor

from millsight.platform.errors import UserError
from millsight.platform.training import require_finite, seed_step
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.backbone.config import BackboneConfig
from millsight.pretraining.backbone.distillation import Form, balance, distillation_loss
from millsight.pretraining.backbone.stages import build_backbone
from millsight.pretraining.backbone.tasks import Classification, MoCo, SimMIM, Task, Views

# timm's names of networks made of attention blocks.
ATTENTION = ("vit_", "deit", "swin", "beit", "eva", "cait", "xcit", "pvt", "twins", "mvit")
RATES = {"sgd": (0.01, 1e-4), "adamw": (1e-4, 0.05)}
MOMENTUM = 0.9


class BackboneModule(lightning.LightningModule):
    """Pretrains a backbone; the same in process and on each worker of Ray Train.

    ``L = L_task + lambda L_distill``, where lambda makes both equal at the first step (eq. 8) and
    then stays; it is kept with the state, so that a resumed run goes on with it.

    Args:
        task: With its backbone; its state is the module's under ``task.``.
        config: Losses, optimizer and schedule.
        attention: Whether the backbone is made of attention blocks.
    """

    distill_weight: Tensor

    def __init__(self, task: Task, config: BackboneConfig, *, attention: bool) -> None:
        super().__init__()
        self.task, self.config = task, config
        self.form = choose_form(config, attention=attention)
        self.optimizer_name = config.optimizer
        if self.optimizer_name == "auto":
            self.optimizer_name = "adamw" if attention else "sgd"
        self.register_buffer("distill_weight", torch.tensor(math.nan))

    def on_fit_start(self) -> None:
        """Compile here: what was compiled before does not travel to another process."""
        if self.config.compile:
            self.task.backbone.compile()

    def on_train_batch_start(self, batch: Views, batch_index: int) -> None:
        """Seed by step; see ``seed_step``."""
        seed_step(self.config.seed, self.current_epoch, batch_index)

    def training_step(self, batch: Views, batch_index: int) -> Tensor:
        """Return the loss; log it with its parts.

        Raises:
            UserError: If it is not finite.
        """
        output = self.task(batch)
        parts = {"task": output.loss}
        if self.config.distill:
            chained = self.config.compat == "official"
            parts["distill"] = distillation_loss(
                output.stages, output.maps, self.form, chained=chained
            )
        require_finite(parts, self.global_step)
        loss = output.loss
        if self.config.distill:
            if self.distill_weight.isnan():
                self._set_weight(output.loss, parts["distill"])
            loss = loss + self.distill_weight * parts["distill"]
            parts["distill_weight"] = self.distill_weight
        for name, value in (parts | {"loss": loss}).items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "loss")
        return cast(Tensor, loss)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Change the weights, and let the task do what follows."""
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            steps = int(self.trainer.estimated_stepping_batches)
            self.task.after_step((self.global_step + 1) / steps)

    def configure_optimizers(self) -> Any:
        """SGD with momentum or AdamW, with a linear warm-up and a cosine decay over all steps."""
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        rate, decay = RATES[self.optimizer_name]
        rate = rate if self.config.learning_rate is None else self.config.learning_rate
        decay = decay if self.config.weight_decay is None else self.config.weight_decay
        optimizer: torch.optim.Optimizer
        if self.optimizer_name == "sgd":
            optimizer = torch.optim.SGD(learned, lr=rate, momentum=MOMENTUM, weight_decay=decay)
        else:
            optimizer = torch.optim.AdamW(learned, lr=rate, weight_decay=decay)
        steps = int(self.trainer.estimated_stepping_batches)
        warm = max(1, round(self.config.warm_up * steps))
        schedule = torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warm, total_iters=warm),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - warm)),
            ],
            milestones=[warm],
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _set_weight(self, task_loss: Tensor, distillation: Tensor) -> None:
        # Every worker starts from the mean of all workers' losses, and so from one lambda.
        losses = self.all_gather(torch.stack([task_loss.detach(), distillation.detach()]))
        mean = cast(Tensor, losses).reshape(-1, 2).mean(dim=0)
        self.distill_weight.copy_(balance(mean[0], mean[1]))


def choose_form(config: BackboneConfig, *, attention: bool) -> Form:
    """Return the distance of METHODS.md section 3 for the backbone's family."""
    if config.form == "auto":
        return "l2" if attention else "cosine"
    return config.form


def build_module(
    loaded: LoadedWeights, config: BackboneConfig, n_categories: int
) -> BackboneModule:
    """Build the module of a configuration.

    Args:
        loaded: Weights to start from.
        config: Settings.
        n_categories: Classes that ``classification`` tells apart.

    Raises:
        UserError: If the weights have no stages, or there is nothing to classify.
    """
    backbone = build_backbone(loaded, trained=config.stages, freeze=config.freeze)
    torch.manual_seed(config.seed)
    task: Task
    if config.task == "classification":
        if n_categories < 2:
            raise UserError(
                "--training.task classification tells categories apart, and the maps have one; "
                "take maps of several sets, or --training.task moco."
            )
        task = Classification(backbone, n_categories)
    elif config.task == "moco":
        task = MoCo(backbone)
    else:
        last = cast(Any, backbone.network).feature_info[-1]
        task = SimMIM(backbone, last["reduction"], last["num_chs"])
    # Lightning leaves the mode as it finds it.
    task.train()
    return BackboneModule(task, config, attention=loaded.architecture.startswith(ATTENTION))
