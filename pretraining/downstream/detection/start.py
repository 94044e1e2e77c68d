"""What finetuning starts from: a pretrained detector, or a backbone under a new one."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from millsight.platform.artifacts import Artifact, open_artifact
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input
from millsight.platform.weights import LoadedWeights
from millsight.platform.weights.carry_over import CarryOver
from millsight.pretraining.detector.commands import DETECTOR, KIND
from millsight.pretraining.detector.export import load_detector
from millsight.pretraining.detector.families import build_detector, load_backbone_weights
from millsight.pretraining.detector.interface import Detector
from millsight.pretraining.downstream.detection.commands import KIND as FINETUNED
from millsight.pretraining.downstream.detection.config import FinetuningConfig

# Both hold a detector's folder.
KINDS = (KIND, FINETUNED)


@dataclass(frozen=True)
class Start:
    """What finetuning starts from.

    Attributes:
        detector: Artifact with a pretrained or finetuned detector, if there is one.
        backbone: Else the backbone's weights; ``None`` for CSPDarknet.
    """

    detector: Artifact | None
    backbone: LoadedWeights | None

    def inputs(self) -> dict[str, Input]:
        """Name the detector as an input of an artifact."""
        return {} if self.detector is None else {"detector": self.detector.as_input()}

    def fingerprints(self) -> dict[str, str]:
        """Name the backbone among an artifact's weights."""
        return {} if self.backbone is None else {"backbone": self.backbone.fingerprint}

    def build(self, config: FinetuningConfig, n_classes: int) -> tuple[Detector, CarryOver]:
        """Return the detector, new only where the classes matter, and the account of its tensors.

        Raises:
            UserError: If the detector's folder is damaged, or the family does not fit the backbone.
        """
        if self.detector is None:
            return build_detector(config, self.backbone, n_classes)
        detector = load_detector(self.detector.file(DETECTOR))
        print(
            f"Classes: {self.detector.path} knows {detector.n_classes}, the labelled pictures have "
            f"{n_classes}; the layers that depend on them start anew."
        )
        before = {name: tensor.data_ptr() for name, tensor in detector.state_dict().items()}
        torch.manual_seed(config.seed)
        detector.reset_classes(n_classes)
        after = detector.state_dict()
        new = {name for name, tensor in after.items() if tensor.data_ptr() != before.get(name)}
        return detector, CarryOver(
            loaded=tuple(name for name in before if name not in new),
            skipped=tuple(name for name in before if name in new),
            new=tuple(name for name in after if name in new),
        )


def load_start(config: FinetuningConfig) -> Start:
    """Open what the configuration names.

    Raises:
        UserError: If it is missing, or no detector.
    """
    if config.weights is None:
        return Start(None, load_backbone_weights(config))
    detector = open_artifact(config.weights)
    if detector.manifest["kind"] not in KINDS:
        raise UserError(
            f"--training.weights {config.weights}: holds {detector.manifest['kind']!r}; name an "
            "artifact of `millsight pretrain detector`, or of an earlier finetuning of a detector."
        )
    return Start(detector, None)
