"""Which modes the real pictures of a class allow."""

from __future__ import annotations

from millsight.generators.procedural.defects import DEFECTS
from millsight.generators.procedural.engine import ProceduralConfig
from millsight.generators.samples import Mode
from millsight.generators.service.catalogs import RealSet, located


def unusable(
    real: RealSet, label: str, mode: Mode, procedural: ProceduralConfig, *, drawn_masks: bool
) -> str | None:
    """Say why a mode cannot make a class, or nothing if it can.

    Args:
        real: The catalog.
        label: A class of its training split.
        mode: The mode.
        procedural: Says which of the renderer's defects stands for a class.
        drawn_masks: Whether masks may be drawn instead of taken from real defects.
    """
    materials = real.materials[label]
    if mode == "procedural" and procedural.defect_of(label) not in DEFECTS:
        return f"the renderer draws {', '.join(DEFECTS)} only"
    if mode in {"copy_paste", "inpaint"} and not materials.plates:
        return "the training split has no good picture to put a defect on"
    placed = mode == "copy_paste" or (mode == "inpaint" and not drawn_masks)
    if placed and not any(located(sample) for sample in materials.defects):
        return "no real defect of this class has a mask or boxes"
    return None
