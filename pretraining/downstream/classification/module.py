"""The Lightning module that trains a classifier, and the choice of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from millsight.evaluation.metrics import evaluate_classes
from millsight.evaluation.metrics.results import BootstrapConfig
from millsight.platform.training import Log, require_finite, seed_step
from millsight.pretraining.downstream.classification.config import ClassificationConfig
from millsight.pretraining.downstream.classification.data import Labelled
from millsight.pretraining.downstream.classification.model import Classifier
from millsight.pretraining.downstream.schedule import rate
from millsight.pretraining.selection import BestWeights


class ClassificationModule(lightning.LightningModule):
    """Trains a classifier; the same in process and on each worker of Ray Train.

    Args:
        classifier: Its state is the module's under ``classifier.``.
        config: Optimizer and schedule.
    """

    def __init__(self, classifier: Classifier, config: ClassificationConfig) -> None:
        super().__init__()
        self.classifier, self.config = classifier, config
        # Lightning leaves the mode as it finds it.
        self.train()

    def on_train_batch_start(self, batch: Labelled, batch_index: int) -> None:
        """Seed by step; see ``seed_step``."""
        seed_step(self.config.seed, self.current_epoch, batch_index)

    def training_step(self, batch: Labelled, batch_index: int) -> Tensor:
        """Return the cross-entropy; log it.

        Raises:
            UserError: If it is not finite.
        """
        loss = F.cross_entropy(
            self.classifier(batch.pictures), batch.labels, label_smoothing=self.config.smoothing
        )
        require_finite({"classes": loss}, self.global_step)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch.labels))
        return loss

    def validation_step(self, batch: Labelled, batch_index: int) -> dict[str, Tensor]:
        """Return true and called labels, ``(B,)`` int64."""
        return {"true": batch.labels, "called": self.classifier(batch.pictures).argmax(1)}

    def configure_optimizers(self) -> Any:
        """AdamW with a linear warm-up and a cosine; no decay of norms and biases."""
        peak = self.config.learning_rate
        optimizer = torch.optim.AdamW(self._groups(peak), lr=peak)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _groups(self, peak: float) -> list[dict[str, Any]]:
        head = {id(parameter) for parameter in self.classifier.head.parameters()}
        groups: dict[tuple[bool, bool], list[Tensor]] = {}
        for parameter in self.classifier.parameters():
            key = id(parameter) in head, parameter.ndim > 1
            groups.setdefault(key, []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": peak * (1.0 if of_head else self.config.backbone_rate),
                "weight_decay": self.config.weight_decay if decays else 0.0,
            }
            for (of_head, decays), parameters in groups.items()
        ]


class Selection(BestWeights):
    """Judges every validation by the mean recall over classes; see ``BestWeights``.

    Args:
        classes: Names, by label.
        address: Of the file that gets the best weights.
        patience: Validations without a better one after which training ends; 0 never ends it.
        log: Told of every validation.
    """

    metric: ClassVar[str] = "mean_class_accuracy"

    def __init__(self, classes: Sequence[str], address: str, patience: int, log: Log) -> None:
        super().__init__(address, patience, log)
        self._classes = classes
        self._true: list[int] = []
        self._called: list[int] = []

    def collect(self, outputs: Any) -> None:
        """Take true and called labels."""
        self._true += outputs["true"].tolist()
        self._called += outputs["called"].tolist()

    def forget(self) -> None:
        """Begin anew."""
        self._true, self._called = [], []

    def judge(self) -> dict[str, float]:
        """Return ``mean_class_accuracy``, ``accuracy`` and ``macro_f1``."""
        found = evaluate_classes(
            self._true, self._called, self._classes, bootstrap=BootstrapConfig(n_resamples=0)
        ).overall
        names = (self.metric, "accuracy", "macro_f1")
        return {name: getattr(found, name).value for name in names}

    def network(self, module: Any) -> nn.Module:
        """Return the classifier."""
        classifier: Classifier = module.classifier
        return classifier
