"""What a training starts from: a whole detector, or a backbone under a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from millsight.platform.artifacts import Artifact, open_artifact
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input
from millsight.platform.weights import LoadedWeights
from millsight.platform.weights.carry_over import CarryOver
from millsight.pretraining.detector.commands import DETECTOR, FINETUNED_KIND, KIND
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.export import load_detector, read_class_names
from millsight.pretraining.detector.families import build_detector, load_backbone_weights
from millsight.pretraining.detector.interface import Detector

# Both hold a detector's folder.
KINDS = (KIND, FINETUNED_KIND)


@dataclass(frozen=True)
class Start:
    """What a training starts from.

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

    def build(
        self, config: DetectorTrainingConfig, classes: Sequence[str]
    ) -> tuple[Detector, CarryOver]:
        """Return the detector, and the account of its tensors.

        Of another detector all is kept if it knows the same classes, and else all but the layers
        that depend on them.

        Args:
            config: Family and sizes of a new detector; seed of what starts anew.
            classes: Names by label.

        Raises:
            UserError: If the detector's folder is damaged, or the family does not fit the backbone.
        """
        if self.detector is None:
            return build_detector(config, self.backbone, len(classes))
        folder = self.detector.file(DETECTOR)
        detector, known = load_detector(folder), read_class_names(folder)
        before = {name: tensor.data_ptr() for name, tensor in detector.state_dict().items()}
        if known != list(classes):
            print(
                f"Classes: {self.detector.path} knows {len(known)}, the pictures here have "
                f"{len(classes)}{' others' if len(known) == len(classes) else ''}; the layers that "
                "depend on them start anew."
            )
            torch.manual_seed(config.seed)
            detector.reset_classes(len(classes))
        after = detector.state_dict()
        new = {name for name, tensor in after.items() if tensor.data_ptr() != before.get(name)}
        return detector, CarryOver(
            loaded=tuple(name for name in before if name not in new),
            skipped=tuple(name for name in before if name in new),
            new=tuple(name for name in after if name in new),
        )


def load_start(weights: str | None, config: DetectorTrainingConfig) -> Start:
    """Open what a training starts from.

    Args:
        weights: Artifact with a detector; ``None`` for the backbone of ``config``.
        config: Names the backbone.

    Raises:
        UserError: If it is missing, or no detector.
    """
    if weights is None:
        return Start(None, load_backbone_weights(config))
    detector = open_artifact(weights)
    if detector.manifest["kind"] not in KINDS:
        raise UserError(
            f"--weights {weights}: holds {detector.manifest['kind']!r}; name an artifact of "
            "`millsight pretrain detector`, or of one finetuning of a detector."
        )
    return Start(detector, None)
