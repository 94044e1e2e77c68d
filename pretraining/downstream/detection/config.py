"""Settings of finetuning a detector; light to import."""

from __future__ import annotations

from dataclasses import dataclass

from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.downstream.few_labels import FewLabelsConfig


@dataclass
class FinetuningConfig(DetectorTrainingConfig, FewLabelsConfig):
    """Everything that decides the finetuned weights; everything learns but the frozen stages.

    Attributes:
        epochs: Passes over the labelled pictures.
    """

    epochs: int = 50

    def check(self) -> None:
        """Refuse what no detector can be finetuned with.

        Raises:
            UserError: Naming the setting.
        """
        DetectorTrainingConfig.check(self)
        FewLabelsConfig.check(self)
