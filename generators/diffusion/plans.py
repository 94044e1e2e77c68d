"""What is to be drawn for each request: on which picture, in which squares, where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.diffusion.crops import cut, cut_mask
from millsight.generators.diffusion.sampler import Patch
from millsight.generators.masks.morphology import Mask, dilate, reach
from millsight.generators.masks.placer import MaskPlacer, named
from millsight.generators.masks.sources import real_mask, real_picture
from millsight.generators.masks.squares import LARGEST_ZOOM, Square, squares
from millsight.generators.samples import Materials, Request
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

# Seeds of a request's further crops lie this far apart.
SEEDS = 2**63


@dataclass(frozen=True)
class Plan:
    """What one request needs.

    Attributes:
        request: The request.
        patches: To fill, one for each square, or a single one where there is no picture.
        squares: Where they belong in ``picture``.
        picture: ``(H, W, 3)`` uint8, the plate or the real defect; ``None`` starts from noise.
        mask: ``(H, W)`` bool, the mask asked for, or the real defect's; ``None`` if there is none.
        source: The real defect of a variation.
        provenance: Ids of the plate and the source.
    """

    request: Request
    patches: tuple[Patch, ...]
    squares: tuple[Square, ...] = ()
    picture: NDArray[np.uint8] | None = None
    mask: Mask | None = None
    source: Sample | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


class Planner:
    """Plans requests from the materials.

    Args:
        materials: Real pictures of the training split.
        config: Crops, and rules for masks on plates.
        side: Of the patches, pixels.
    """

    def __init__(self, materials: Materials, config: DiffusionConfig, side: int) -> None:
        self._materials = materials
        self._config = config
        self._side = side
        self._placers: dict[str, MaskPlacer] = {}

    def plan(self, request: Request) -> Plan:
        """Plan one request.

        Raises:
            UserError: If the mode is not the diffusion's or its materials are missing.
        """
        match request.spec.mode:
            case "variation":
                return self._variation(request)
            case "inpaint":
                return self._inpaint(request)
            case "text":
                return Plan(request, (Patch(request.seed),))
        raise UserError(
            f"--spec.mode {request.spec.mode}: the diffusion engine knows variation, inpaint and "
            "text."
        )

    def _variation(self, request: Request) -> Plan:
        defects = self._materials.defects
        if not defects:
            raise UserError(
                f"--spec.mode variation: the training split has no picture of {request.spec.label} "
                "to start from; see: millsight data inspect"
            )
        source = defects[int(request.random().integers(len(defects)))]
        picture = real_picture(source)
        mask = real_mask(source, request.spec.label)
        shown = np.ones(picture.shape[:2], np.bool_) if mask is None else mask
        found = self._squares(shown)
        patches = [
            Patch(seed, cut(picture, square, self._side))
            for seed, square in zip(_seeds(request, len(found)), found, strict=True)
        ]
        ids = {"source": named(source)}
        return Plan(request, tuple(patches), found, picture, mask, source=source, provenance=ids)

    def _inpaint(self, request: Request) -> Plan:
        plates = self._materials.plates
        if not plates:
            raise UserError(
                "--spec.mode inpaint: the training split has no good picture to draw on; use "
                "--spec.mode variation."
            )
        rng = request.random()
        plate = plates[int(rng.integers(len(plates)))]
        picture = real_picture(plate)
        mask, ids = self._asked(request, rng, plate)
        region = dilate(mask, reach(self._config.labels.dilation, (mask.shape[0], mask.shape[1])))
        found = self._squares(mask)
        patches = [
            Patch(seed, cut(picture, square, self._side), cut_mask(region, square, self._side))
            for seed, square in zip(_seeds(request, len(found)), found, strict=True)
        ]
        return Plan(request, tuple(patches), found, picture, mask, provenance=ids)

    def _asked(
        self, request: Request, rng: np.random.Generator, plate: Sample
    ) -> tuple[Mask, dict[str, Any]]:
        """Return the mask that a plate is asked to have, and where both came from."""
        label = request.spec.label
        if label not in self._placers:
            config = self._config.placement
            self._placers[label] = MaskPlacer(self._materials.defects, label, config)
        placer, picture = self._placers[label], real_picture(plate)
        if request.spec.masks == "procedural":
            return placer.drawn(rng, plate, picture), {"plate": named(plate)}
        placed = placer.real(rng, plate, picture)
        return placed.mask, {"plate": named(plate), **placed.provenance}

    def _squares(self, mask: Mask) -> tuple[Square, ...]:
        least = max(1, self._side // LARGEST_ZOOM)
        return tuple(squares(mask, self._config.context, least)[: self._config.crops])


def _seeds(request: Request, count: int) -> Sequence[int]:
    return [(request.seed + number) % SEEDS for number in range(count)]
