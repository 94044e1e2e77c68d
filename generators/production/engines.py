"""Which engine answers a mode, and what real pictures it may use."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from millsight.generators.copy_paste.engine import CopyPasteConfig, CopyPasteEngine
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.masks.sources import of_split, shows
from millsight.generators.procedural.engine import ProceduralConfig, ProceduralEngine
from millsight.generators.samples import Engine, Materials, Mode
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError


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


EngineBuilder = Callable[[Mode, EngineConfig, Materials, str], Engine]


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


def choose_materials(
    catalog: Catalog, label: str, *, plates: Collection[str] = (), defects: Collection[str] = ()
) -> Materials:
    """Take plates and the class's defects from the training split; no derived picture.

    Args:
        catalog: Real pictures.
        label: The class.
        plates: Ids of the plates to take; all of them if none is named.
        defects: Ids of the defects to take; likewise.

    Raises:
        UserError: If a named one is not there.
    """
    train = of_split(catalog, "train")
    good = [sample for sample in train if sample.defective is False]
    bad = [sample for sample in train if shows(sample, label)]
    return Materials(_named(good, plates, "plates"), _named(bad, defects, "defects"))


def _named(found: list[Sample], ids: Collection[str], flag: str) -> tuple[Sample, ...]:
    if missing := set(ids) - {sample.id for sample in found}:
        raise UserError(
            f"--{flag} {min(missing)}: the training split has no such picture of that kind."
        )
    return tuple(sample for sample in found if not ids or sample.id in ids)
