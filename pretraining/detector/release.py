"""All that users take home of a trained detector, in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from millsight.pretraining.detector.card import CARD_FILE, Provenance, write_card
from millsight.pretraining.detector.deployed import ONNX_FILE, export_onnx
from millsight.pretraining.detector.export import load_detector, save_backbone, save_detector
from millsight.pretraining.detector.interface import Detector

BACKBONE = "backbone"


def release(
    detector: Detector,
    folder: str,
    class_names: Sequence[str],
    *,
    provenance: Provenance,
    metrics: Mapping[str, Any],
    examples: Sequence[Tensor] = (),
) -> dict[str, Any]:
    """Write the detector, its backbone, an ONNX file and the card.

    Args:
        detector: Trained.
        folder: Local or any fsspec address.
        class_names: By label.
        provenance: What it comes from; without start weights no backbone is written.
        metrics: Measured numbers, for the card.
        examples: Pictures ``(3, H, W)`` float32, RGB in [0, 1], that the ONNX file is checked on;
            without any it is not written.

    Returns:
        More metrics: ``files`` and, with examples, ``onnx_difference``.
    """
    added: dict[str, Any] = {"files": save_detector(detector, folder, class_names)}
    # What was written is looked at from here on, not what may have been compiled for training.
    written = load_detector(folder)
    if provenance.start is not None:
        names = save_backbone(written, provenance.start, f"{folder}/{BACKBONE}")
        added["files"] += [f"{BACKBONE}/{name}" for name in names]
    if examples:
        added["onnx_difference"] = export_onnx(written, f"{folder}/{ONNX_FILE}", examples)
        added["files"].append(ONNX_FILE)
    added["files"].append(CARD_FILE)
    write_card(f"{folder}/{CARD_FILE}", written, class_names, provenance, {**metrics, **added})
    return added
