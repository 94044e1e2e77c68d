"""The labelled picture that the renderer hands out, and its nine-field text."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from millsight.evaluation.steeldefectx.attributes import mask_attributes

# Nine words by field, save "Position", which is a list of (cell, share).
Attributes = dict[str, Any]


@dataclass(frozen=True)
class Rendering:
    """One procedural picture with everything known about it.

    Attributes:
        picture: uint8 (H, W), grey.
        mask: bool (H, W), the damaged pixels, before blur and noise; all False if and only if the
            label is "good".
        label: "good" or a key of `DEFECTS`.
        boxes: float32 (N, 4), xyxy pixels with the far corner exclusive, one per 8-connected
            component of the mask, in the order the components are met in reading order.
        surface: one of `SURFACES`.
        attributes: the nine fields of SteelDefectX (arXiv 2603.21824, T3) under the paper's names;
            empty for a good picture. "Position" is a list of (cell, share), the rest are words.
        captions: sentences about the picture, the plainest first.
    """

    picture: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    label: str
    boxes: npt.NDArray[np.float32]
    surface: str
    attributes: Attributes
    captions: tuple[str, ...]


def component_boxes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Bounds of the 8-connected components: float32 (N, 4) xyxy pixels, far corner exclusive."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    boxes = stats[1:, :4].astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _direction(mask: npt.NDArray[np.bool_]) -> str:
    """Horizontal, vertical or diagonal, or none where no component is clearly long.

    The scatter is that of the pixels about their own component's centre, so that a row of dots
    does not count as a line.
    """
    _, labels, _, centroids = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    rows, columns = np.nonzero(mask)
    middle = centroids[labels[rows, columns]]
    scatter = np.cov(columns - middle[:, 0], rows - middle[:, 1], bias=True) + np.eye(2) / 12
    values, vectors = np.linalg.eigh(np.atleast_2d(scatter))
    if values[1] < 4.0 * values[0]:
        return "none"
    angle = abs(math.degrees(math.atan2(vectors[1, 1], vectors[0, 1])))
    angle = min(angle, 180 - angle)
    if angle < 25:
        return "horizontal"
    return "vertical" if angle > 65 else "diagonal"


def _distribution(boxes: npt.NDArray[np.float32], view: int) -> str:
    """Isolated for one component; clustered or scattered by how far the components lie apart."""
    if len(boxes) == 1:
        return "isolated"
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    spread = float(np.hypot(*centres.std(axis=0))) / view
    return "clustered" if spread < 0.2 else "scattered"


def local_contrast(
    picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], steel: npt.NDArray[np.bool_]
) -> float:
    """Mean grey of the defect less that of the steel right beside it, in grey levels.

    The paper's Polarity compares with the whole picture, so uneven light can call a dark line
    bright; sentences that people would write compare with the surroundings.

    Args:
        picture: uint8 (H, W).
        mask: bool (H, W), not empty.
        steel: bool (H, W), where there is a sheet at all.

    Returns:
        Negative where the defect is darker; 0 where no steel is left beside it.
    """
    reach = max(3, min(mask.shape) // 24) | 1
    around = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    beside = around & ~mask & steel
    if not beside.any():
        return 0.0
    return float(picture[mask].mean()) - float(picture[beside].mean())


def describe(
    picture: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.bool_],
    label: str,
    shape: str,
    boxes: npt.NDArray[np.float32],
) -> Attributes:
    """The nine fields under the paper's names.

    Args:
        picture: uint8 (H, W).
        mask: bool (H, W), not empty.
        label: the defect's name.
        shape: the paper's word for its shape, known to whoever drew it.
        boxes: float32 (N, 4), one per component.

    Returns:
        Nine fields, in the paper's order.
    """
    measured = mask_attributes(picture, mask)
    fields: dict[str, Any] = {
        "Defect type": label,
        "Shape": shape,
        "Direction": _direction(mask),
        "Spatial Distribution": _distribution(boxes, min(mask.shape)),
        "Number of Defects": measured.number,
        "Position": list(measured.position),
        "Scale": measured.scale,
        "Polarity": measured.polarity,
        "Saliency": measured.saliency,
    }
    return fields
