"""Which engine answers a mode, and what real pictures it may use."""

from __future__ import annotations

from dataclasses import dataclass, field

from millsight.generators.copy_paste.engine import CopyPasteConfig, CopyPasteEngine
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.procedural.engine import ProceduralConfig, ProceduralEngine
from millsight.generators.samples import Engine, Materials, Mode
from millsight.platform.catalog.catalog import Catalog


@dataclass
class EngineConfig:
    """How each engine works; with the spec and the materials, what decides every picture.

    Attributes:
        procedural: Of mode ``procedural``.
        copy_paste: Of mode ``copy_paste``.
        diffusion: Of modes ``variation``, ``inpaint`` and ``text``.
    """

    procedural: ProceduralConfig = field(default_factory=ProceduralConfig)
    copy_paste: CopyPasteConfig = field(default_factory=CopyPasteConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)


def build_engine(mode: Mode, config: EngineConfig, materials: Materials, device: str) -> Engine:
    """Build the engine of a mode.

    Raises:
        UserError: If its settings or materials do not allow it.
    """
    if mode == "procedural":
        return ProceduralEngine(materials, config.procedural)
    if mode == "copy_paste":
        return CopyPasteEngine(materials, config.copy_paste)
    from millsight.generators.diffusion.engine import DiffusionEngine

    return DiffusionEngine.load(config.diffusion, materials, device=device)


def choose_materials(catalog: Catalog, label: str) -> Materials:
    """Take plates and the class's defects from the training split; synthetic ones are left out."""
    train = [sample for sample in catalog if sample.split == "train" and sample.synthetic is None]
    return Materials(
        plates=tuple(sample for sample in train if sample.defective is False),
        defects=tuple(
            sample for sample in train if sample.label == label or label in sample.box_labels
        ),
    )
