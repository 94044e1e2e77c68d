"""A detector as one ONNX file that runs without millsight, checked against the original."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from millsight.platform import storage
from millsight.pretraining.detector.interface import (
    MAX_DETECTIONS,
    Detections,
    Detector,
    resize,
)
from millsight.pretraining.onnx_files import write_onnx

ONNX_FILE = "model.onnx"
TOLERANCE = 1e-3
NAMES = ("picture", *Detections._fields)


class DeployedDetector(nn.Module):
    """What the file computes: one picture in, its detections out.

    Input ``picture``: float32 ``(3, H, W)``, RGB in [0, 1]; normalised inside. Faster R-CNN takes
    pictures of any size. The others take their ``input_size`` alone; bring pictures to it as they
    do themselves, detection transformers by stretching, YOLO by scaling the longer side and grey
    (114 / 255) on the right and below.

    Outputs: ``boxes`` float32 ``(D, 4)`` as ``(x0, y0, x1, y1)`` in pixels of the input, ``labels``
    int64 ``(D,)`` from 0, ``scores`` float32 ``(D,)``; the surest first, D at most 100.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        boxes, labels, scores = self.detector.predict([picture])[0]
        return boxes, labels, scores


def export_onnx(detector: Detector, url: str, examples: Sequence[Tensor]) -> float:
    """Write the file, read it back with onnxruntime and compare.

    Args:
        detector: Moved to the CPU and left in evaluation mode.
        url: File to write, local or any fsspec address.
        examples: Pictures ``(3, H, W)`` float32, RGB in [0, 1], to compare on; brought to the
            detector's ``input_size``, where it has one. See ``DeployedDetector`` for what the file
            takes.

    Returns:
        Largest difference of any score, or of any corner as a share of the picture's longer side;
        at most ``TOLERANCE``.

    Raises:
        RuntimeError: If the written file computes something else.
    """
    size = detector.cpu().eval().input_size
    pictures = [one if size is None else resize(one, size)[0] for one in examples]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ONNX_FILE
        free = {name: {0: "detections"} for name in NAMES[1:]}
        if size is None:
            free[NAMES[0]] = {1: "height", 2: "width"}
        run = write_onnx(DeployedDetector(detector), path, pictures[0], NAMES, free)
        worst = 0.0
        for picture in pictures:
            found = Detections(*(torch.from_numpy(value) for value in run(picture)))
            (wanted,) = detector.predict([picture])
            worst = max(worst, _difference(found, wanted, picture, detector.min_score))
        if not worst <= TOLERANCE:
            raise RuntimeError(f"{url}: differs from the detector by {worst:.2e}, over {TOLERANCE}")
        storage.write_bytes(url, path.read_bytes())
    return worst


def _difference(found: Detections, wanted: Detections, picture: Tensor, floor: float) -> float:
    """Return how far from each detection the nearest one of the other set is, at worst.

    Sets, not rows: of two equal scores either may come first, and where the lists are cut off
    either of two may be the last. Scores are compared row by row as well.
    """
    for one in (found, wanted):
        if len(one.scores) == MAX_DETECTIONS:
            floor = max(floor, one.scores[-1].item())
    corners = (found.boxes[:, None] - wanted.boxes).abs().amax(2) / max(picture.shape[-2:])
    gaps = corners.maximum((found.scores[:, None] - wanted.scores).abs())
    gaps[found.labels[:, None] != wanted.labels] = torch.inf
    # Whoever has no counterpart at all is infinitely far from one.
    gaps = F.pad(gaps, (0, 1, 0, 1), value=torch.inf)
    nearest = (gaps[:-1].amin(1), found.scores), (gaps[:, :-1].amin(0), wanted.scores)
    clear = [gap[scores > floor + TOLERANCE] for gap, scores in nearest]
    n = min(len(found.scores), len(wanted.scores))
    in_order = (found.scores[:n] - wanted.scores[:n]).abs()
    return max(torch.cat((*clear, in_order)).tolist(), default=0.0)
