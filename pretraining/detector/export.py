"""A detector as a folder: what users take home, and what every command reads back.

- ``detector.json``: family, classes, backbone, settings.
- ``model.safetensors``: the tensors; of a Faster R-CNN on a ResNet under torchvision's own names.
- ``config.json``, ``preprocessor_config.json``: of a detection transformer, for transformers.
- ``model.pt``: of a YOLOv8, for ultralytics. It is a pickle, and never opened here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from safetensors.torch import save_file
from torch import Tensor, nn

from millsight.platform import storage
from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights
from millsight.platform.weights.files import read_tensors
from millsight.platform.weights.saving import save_weights
from millsight.pretraining.detector.description import (
    DESCRIPTION_FILE,
    Description,
    describe,
    read_description,
)
from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.interface import Detector
from millsight.pretraining.detector.stages import network_names
from millsight.pretraining.detector.yolo import YoloDetector

WEIGHTS_FILE = "model.safetensors"
ULTRALYTICS_FILE = "model.pt"
# What a network raises that is built from settings that cannot be.
BUILD_ERRORS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)


def save_detector(detector: Detector, folder: str, class_names: Sequence[str]) -> list[str]:
    """Write a detector.

    Args:
        detector: Of any family.
        folder: Local or any fsspec address; files of the same names are replaced, each whole.
        class_names: Names of the classes, by label.

    Returns:
        Names of the files.

    Raises:
        UserError: If there are not as many names as classes, or two are the same.
    """
    description = describe(detector, class_names)
    with tempfile.TemporaryDirectory() as made:
        if isinstance(detector, DetrDetector):
            detector.save(made, class_names)
        else:
            save_file(_tensors(detector), f"{made}/{WEIGHTS_FILE}", metadata={"format": "pt"})
        if isinstance(detector, YoloDetector):
            detector.save(f"{made}/{ULTRALYTICS_FILE}", class_names)
        (Path(made) / DESCRIPTION_FILE).write_bytes(description.to_bytes())
        files = sorted(Path(made).iterdir())
        for file in files:
            storage.write_bytes(f"{folder}/{file.name}", file.read_bytes())
    return [file.name for file in files]


def load_detector(folder: str) -> Detector:
    """Read what ``save_detector`` wrote; in evaluation mode, on the CPU.

    Nothing in the folder is trusted: no pickle is opened, and what does not fit is refused.

    Args:
        folder: Local or any fsspec address.

    Raises:
        UserError: If it holds no detector, a damaged one or tensors of another network, or a YOLO
            and ultralytics is not installed.
    """
    with _on_this_disk(folder) as here:
        description = read_description(here)
        detr = description.detector.family == "detr"
        return (_read_detr if detr else _read_other)(here, description).eval()


def read_class_names(folder: str) -> list[str]:
    """Return the names of a saved detector's classes, by label.

    Raises:
        UserError: See ``load_detector``.
    """
    with _on_this_disk(folder) as here:
        return read_description(here).detector.classes


def save_backbone(detector: Detector, start: LoadedWeights, folder: str) -> list[str]:
    """Write a detector's backbone as a source of weights; see ``save_weights``.

    Layers that the detector has no use for are those of the weights that it started from.

    Args:
        detector: On a backbone that had weights.
        start: What its backbone was started from.
        folder: Local or any fsspec address.

    Returns:
        Names of the files.
    """
    trained = detector.backbone_state()
    timms = start.library == "timm"
    names = network_names(start.architecture) if timms else list(start.state_dict)
    whole = {**start.state_dict, **trained}
    return save_weights({name: whole[name] for name in names}, start, folder)


@contextmanager
def _on_this_disk(folder: str) -> Iterator[Path]:
    fs, path = storage.filesystem(folder)
    if storage.is_local(fs):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as copy:
        fs.get(f"{path}/", copy, recursive=True)
        yield Path(copy)


def _read_detr(folder: Path, description: Description) -> Detector:
    detector = DetrDetector.load(str(folder), description.backbone)
    if detector.n_classes != len(description.detector.classes):
        raise UserError(
            f"{folder}: {DESCRIPTION_FILE} names {len(description.detector.classes)} classes, the "
            f"network tells {detector.n_classes} apart."
        )
    return detector


def _read_other(folder: Path, description: Description) -> Detector:
    tensors = read_tensors(folder / WEIGHTS_FILE)
    try:
        detector = description.build()
        _network(detector).load_state_dict(tensors)
    except BUILD_ERRORS as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{folder}: {WEIGHTS_FILE} does not fit {DESCRIPTION_FILE} ({reason})."
        ) from None
    return detector


def _network(detector: Detector) -> nn.Module:
    """Return the family's own network; its tensors have that library's names."""
    return cast(nn.Module, cast(Any, detector).model)


def _tensors(detector: Detector) -> dict[str, Tensor]:
    state = _network(detector).state_dict()
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
