"""The copy-paste engine: cuts real defects and blends them onto clean plates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from millsight.generators.copy_paste.blending import feather, match_surroundings, poisson
from millsight.generators.masks.labels import LabelConfig, label_boxes
from millsight.generators.masks.morphology import distance_to, reach
from millsight.generators.masks.placement import PlacementConfig
from millsight.generators.masks.placer import MaskPlacer, named
from millsight.generators.masks.sources import real_picture
from millsight.generators.samples import Generated, Materials, Request
from millsight.platform.errors import UserError

ENGINE = "copy_paste"
BLENDS = {"feather": feather, "poisson": poisson}


@dataclass
class CopyPasteConfig:
    """How defects are cut and blended.

    Attributes:
        blend: ``poisson`` keeps the defect's gradients and takes the plate's brightness all around
            it; ``feather`` fades the cut out, several times as fast for large defects.
        margin: How far around the mask is cut; share of the plate's shorter side, a pixel at least.
        placement: Where defects may lie.
        labels: How boxes are joined.
    """

    blend: Literal["feather", "poisson"] = "poisson"
    margin: float = 0.015
    placement: PlacementConfig = field(default_factory=PlacementConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)

    def check(self) -> None:
        """Refuse what blends nothing.

        Raises:
            UserError: Naming the setting.
        """
        if not 0 <= self.margin <= 0.25:
            raise UserError(f"--copy_paste.margin {self.margin}: a share, from 0 to 0.25.")
        self.placement.check()
        self.labels.check()


class CopyPasteEngine:
    """Answers requests of mode ``copy_paste``; see ``millsight.generators.samples.Engine``.

    A source and a plate of different size meet pixel by pixel, as two crops of one camera's
    pictures do; a defect larger than the plate is shrunk. The mask is the moved mask itself, so it
    is exact, and the picture is the plate outside of it and its margin, to the last bit.

    Args:
        materials: Good plates, and defects with masks or boxes, of the training split.
        config: How to cut and blend.

    Raises:
        UserError: If there is no plate.
    """

    def __init__(self, materials: Materials, config: CopyPasteConfig | None = None) -> None:
        self._config = config or CopyPasteConfig()
        self._config.check()
        if not materials.plates:
            raise UserError(
                "--spec.mode copy_paste needs good pictures to paste onto: the training split has "
                "none with the label good; see: millsight data inspect"
            )
        self._materials = materials
        self._placers: dict[str, MaskPlacer] = {}

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Answer requests, each by itself.

        Raises:
            UserError: If no defect of the class says where it is, masks are to be drawn, or a
                picture does not decode.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generated:
        spec, config = request.spec, self._config
        if spec.masks != "real":
            raise UserError("--spec.mode copy_paste pastes real defects: use --spec.masks real.")
        rng = request.random()
        plates = self._materials.plates
        chosen = plates[int(rng.integers(len(plates)))]
        plate = real_picture(chosen)
        placed = self._placer(spec.label).real(rng, chosen, plate)
        pixels = reach(config.margin, (plate.shape[0], plate.shape[1]))
        piece = placed.placement.move_picture(real_picture(placed.source))
        away = distance_to(placed.mask)
        matched = match_surroundings(piece, plate, away, pixels)
        return Generated(
            request=request,
            picture=BLENDS[config.blend](matched, plate, away, pixels),
            mask=placed.mask,
            boxes=label_boxes(placed.mask, config.labels),
            plate=plate,
            requested=placed.mask,
            provenance={
                "engine": ENGINE,
                "plate": named(chosen),
                **placed.provenance,
                "blend": config.blend,
                "margin": pixels,
            },
        )

    def _placer(self, label: str) -> MaskPlacer:
        if label not in self._placers:
            found = MaskPlacer(self._materials.defects, label, self._config.placement)
            self._placers[label] = found
        return self._placers[label]
