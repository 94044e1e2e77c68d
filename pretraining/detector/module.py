"""The Lightning module that trains any detector; it knows nothing of where it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch import Tensor

from millsight.platform.training import require_finite, seed_step
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.interface import DetectionBatch, Detections, Detector

RATES = {"sgd": (0.01, 1e-4), "adamw": (2e-4, 0.05)}
MOMENTUM = 0.9
STEPS_DOWN = (2 / 3, 8 / 9)


class DetectorModule(lightning.LightningModule):
    """Trains a detector; the same in process and on each worker of Ray Train.

    Args:
        detector: Its state is the module's under ``detector.``.
        config: Optimizer and schedule.
    """

    def __init__(self, detector: Detector, config: DetectorTrainingConfig) -> None:
        super().__init__()
        self.detector, self.config = detector, config
        # Lightning leaves the mode as it finds it.
        self.train()

    def on_fit_start(self) -> None:
        """Compile here: what was compiled before does not travel to another process."""
        if self.config.compile:
            self.detector.compile_body()

    def on_train_batch_start(self, batch: DetectionBatch, batch_index: int) -> None:
        """Seed by step; see ``seed_step``."""
        seed_step(self.config.seed, self.current_epoch, batch_index)

    def training_step(self, batch: DetectionBatch, batch_index: int) -> Tensor:
        """Return the loss; log it with its terms.

        Raises:
            UserError: If it is not finite.
        """
        terms = self.detector.losses(batch)
        require_finite(terms, self.global_step)
        loss = torch.stack(list(terms.values())).sum()
        named_terms = {f"train/{name}": term.detach() for name, term in terms.items()}
        self.log_dict(named_terms, batch_size=len(batch.pictures))
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch.pictures))
        return loss

    def validation_step(self, batch: DetectionBatch, batch_index: int) -> dict[str, Any]:
        """Return what is found in each picture, as ``found``."""
        return {"found": self.detector.predict(batch.pictures)}

    def configure_optimizers(self) -> Any:
        """SGD with momentum or AdamW; no decay of norms and biases."""
        config = self.config
        peak, decay = RATES[config.optimizer]
        peak = peak if config.learning_rate is None else config.learning_rate
        decay = decay if config.weight_decay is None else config.weight_decay
        groups = self._groups(peak, decay)
        optimizer: torch.optim.Optimizer
        if config.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=peak, momentum=MOMENTUM)
        else:
            optimizer = torch.optim.AdamW(groups, lr=peak)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate(step, steps, config)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _groups(self, peak: float, decay: float) -> list[dict[str, Any]]:
        inside = {id(parameter) for parameter in self.detector.backbone.parameters()}
        groups: dict[tuple[bool, bool], list[Tensor]] = {}
        for parameter in self.detector.parameters():
            if parameter.requires_grad:
                key = id(parameter) in inside, parameter.ndim > 1
                groups.setdefault(key, []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": peak * (self.config.backbone_rate if of_backbone else 1.0),
                "weight_decay": decay if decays else 0.0,
            }
            for (of_backbone, decays), parameters in groups.items()
        ]


def rate(step: int, steps: int, config: DetectorTrainingConfig) -> float:
    """Return the factor of the learning rate at ``step`` of ``steps``."""
    warm = max(1, round(config.warm_up * steps))
    if step < warm:
        return (step + 1) / warm
    if config.schedule == "step":
        return 0.1 ** sum(step >= share * steps for share in STEPS_DOWN)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


@torch.no_grad()
def detect(detector: Detector, pictures: Sequence[Tensor], device: str = "cpu") -> list[Detections]:
    """Find boxes in a batch of pictures, on ``device``; the result is on the CPU."""
    found = detector.predict([picture.to(device) for picture in pictures])
    return [Detections(*(tensor.cpu() for tensor in one)) for one in found]
