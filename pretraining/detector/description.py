"""``detector.json``: all that is needed to build a detector again, and read without trust."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from millsight.platform.config import from_mapping
from millsight.platform.errors import UserError
from millsight.platform.weights.files import read_json
from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.faster_rcnn import FasterRCNNConfig, FasterRCNNDetector
from millsight.pretraining.detector.interface import Detector
from millsight.pretraining.detector.stages import BackboneChoice
from millsight.pretraining.detector.yolo import YoloConfig, YoloDetector

DESCRIPTION_FILE = "detector.json"
SCHEMA_VERSION = 1
SETTINGS: dict[str, type] = {"faster_rcnn": FasterRCNNConfig, "yolo": YoloConfig}
GROUPS = ("detector", "backbone", "settings")


@dataclass(frozen=True)
class Identity:
    """What the detector is.

    Attributes:
        family: Which of the networks.
        classes: Names by label.
        schema_version: Of the folder's layout.
    """

    family: Literal["faster_rcnn", "detr", "yolo"]
    classes: list[str]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Description:
    """Content of ``detector.json``.

    Attributes:
        detector: What it is.
        backbone: ``None`` for YOLOv8's own CSPDarknet.
        settings: ``None`` for detection transformers, whose ``config.json`` holds them.
    """

    detector: Identity
    backbone: BackboneChoice | None
    settings: FasterRCNNConfig | YoloConfig | None

    def to_bytes(self) -> bytes:
        """Return the file."""
        return f"{json.dumps(asdict(self), indent=2)}\n".encode()

    def build(self) -> Detector:
        """Build the network with random weights; of a detection transformer, see its ``load``.

        Raises:
            UserError: If it cannot be built, or needs ultralytics and that is not installed.
        """
        n_classes = len(self.detector.classes)
        if isinstance(self.settings, YoloConfig):
            return YoloDetector(self.backbone, n_classes, self.settings)
        if self.backbone is None:
            raise UserError(f"{DESCRIPTION_FILE}: backbone: only a YOLO has one of its own.")
        return FasterRCNNDetector(self.backbone, n_classes, self.settings)


def describe(detector: Detector, class_names: Sequence[str]) -> Description:
    """Describe a detector.

    Args:
        detector: Of any family.
        class_names: Names of its classes, by label.

    Raises:
        UserError: If there are not as many names as classes, or two are the same.
    """
    names = list(class_names)
    if not len(set(names)) == len(names) == detector.n_classes:
        raise UserError(
            f"the detector tells {detector.n_classes} classes apart and needs as many different "
            f"names; given are {', '.join(names) or 'none'}."
        )
    match detector:
        case FasterRCNNDetector():
            return Description(Identity("faster_rcnn", names), detector.choice, detector.config)
        case YoloDetector():
            return Description(Identity("yolo", names), detector.choice, detector.config)
        case DetrDetector():
            return Description(Identity("detr", names), detector.choice, None)
    raise TypeError(f"{type(detector).__name__} has no form on disk")


def read_description(folder: Path) -> Description:
    """Read and check ``detector.json``.

    Raises:
        UserError: With what is wrong with it.
    """
    file = folder / DESCRIPTION_FILE
    if not file.is_file():
        raise UserError(f"{folder} holds no detector: there is no {DESCRIPTION_FILE} in it.")
    groups = {name: _group(file, name, value) for name, value in read_json(file).items()}
    identity = from_mapping(Identity, groups.get("detector") or {}, f"{file}: detector")
    if identity.schema_version != SCHEMA_VERSION:
        raise UserError(f"{file}: written by another version of millsight; update this one.")
    if not 0 < len(identity.classes) == len(set(identity.classes)):
        raise UserError(f"{file}: detector.classes: different names, at least one.")
    backbone, settings = groups.get("backbone"), groups.get("settings")
    kind = SETTINGS.get(identity.family)
    return Description(
        identity,
        None if backbone is None else _backbone(file, backbone),
        None if kind is None else from_mapping(kind, settings or {}, f"{file}: settings"),
    )


def _group(file: Path, name: str, value: Any) -> dict[str, Any] | None:
    if name not in GROUPS or not isinstance(value, dict | None):
        raise UserError(f"{file}: {name}: objects are wanted, called {', '.join(GROUPS)}.")
    return value


def _backbone(file: Path, values: dict[str, Any]) -> BackboneChoice:
    choice: BackboneChoice = from_mapping(BackboneChoice, values, f"{file}: backbone")
    finite = all(math.isfinite(value) for value in (*choice.mean, *choice.std))
    if not finite or min(choice.std) <= 0:
        raise UserError(f"{file}: backbone.mean and backbone.std: finite, std above 0.")
    return choice
