"""What every defect hands to the renderer."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from millsight.generators.procedural.noise import Field, blur

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Damage:
    """A defect laid on a surface.

    Attributes:
        mask: bool (H, W), the damaged pixels.
        darkening: float32 (H, W), factor on the reflectance less one: negative is darker.
        relief: float32 (H, W), height added, in 256ths of the view.
        removed: float32 (H, W) in 0 to 1, share of the pixel where the steel is gone.
        shape: the SteelDefectX word for its shape.
    """

    mask: Mask
    darkening: Field
    relief: Field
    removed: Field
    shape: str


def to_mask(coverage: Field) -> Mask:
    """Pixels at least 35 % covered, or the most covered ones where a hair line never is that much.

    Args:
        coverage: float32 (H, W) in 0 to 1.

    Returns:
        bool (H, W).
    """
    threshold = min(0.35, 0.6 * float(coverage.max()))
    mask: Mask = coverage > threshold
    return mask


def drop_small(coverage: Field, area: float) -> Field:
    """Coverage without its 8-connected parts smaller than `area` pixels; the largest one stays."""
    mask = to_mask(coverage)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    keep = areas >= min(area, areas[1:].max(initial=1))
    keep[0] = False
    kept = cv2.dilate(keep[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    return coverage * kept.astype(np.float32)


def groove(coverage: Field, width: float, depth: float, burr: float) -> Field:
    """Relief of a furrow with thrown-up lips.

    Args:
        coverage: float32 (H, W) in 0 to 1.
        width: width of the furrow in pixels.
        depth: in 256ths of the view, negative for a ridge.
        burr: height of the lips against the depth.

    Returns:
        float32 (H, W).
    """
    core = blur(coverage, max(0.35 * width, 0.45))
    relief: Field = (-depth * core).astype(np.float32)
    if burr > 0:
        relief += np.float32(depth * burr) * np.maximum(blur(coverage, 0.8 * width + 0.4) - core, 0)
    return relief


def assemble(
    coverage: Field, darkening: Field, shape: str, *, relief: Field | None = None
) -> Damage:
    """Damage that removes no steel, with the mask read off the coverage."""
    empty = np.zeros_like(coverage)
    return Damage(
        to_mask(coverage),
        darkening.astype(np.float32),
        empty if relief is None else relief.astype(np.float32),
        empty,
        shape,
    )
