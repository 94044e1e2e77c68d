"""Draws the mask that a sample is asked to have, for the engines that change a plate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millsight.generators.masks.areas import allowed_area
from millsight.generators.masks.morphology import Mask
from millsight.generators.masks.placement import (
    LEAST_INSIDE,
    Placement,
    PlacementConfig,
    place,
)
from millsight.generators.masks.shapes import ClassShape, draw_shape, shape_of
from millsight.generators.masks.sources import real_mask, with_masks
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

TRIES = 8


@dataclass(frozen=True)
class Placed:
    """The mask of a real defect, moved onto a plate.

    Attributes:
        mask: ``(H, W)`` bool, not empty.
        source: The real defect.
        placement: How it was moved.
    """

    mask: Mask
    source: Sample
    placement: Placement

    @property
    def provenance(self) -> dict[str, Any]:
        """Source and move, as ``Generated.provenance`` has them."""
        moved = {"factor": list(self.placement.factor), "offset": list(self.placement.offset)}
        return {"source": named(self.source), "placement": moved}


def named(sample: Sample) -> dict[str, str | None]:
    """Name a real picture in a provenance; its group is the physical object."""
    return {"id": sample.id, "uri": sample.uri, "group": sample.group}


class MaskPlacer:
    """Masks for one class.

    Args:
        defects: Real pictures of the class.
        label: The class.
        config: Rules of placement.

    Raises:
        UserError: If the rules are wrong.
    """

    def __init__(self, defects: Sequence[Sample], label: str, config: PlacementConfig) -> None:
        config.check()
        self._defects = defects
        self._label = label
        self._config = config

    @cached_property
    def _sources(self) -> tuple[tuple[Sample, Mask], ...]:
        return with_masks(self._defects, self._label)

    @cached_property
    def _shape(self) -> ClassShape:
        found = (real_mask(sample, self._label) for sample in self._defects)
        return shape_of(self._label, [mask for mask in found if mask is not None])

    def real(self, rng: np.random.Generator, plate: Sample, picture: NDArray[np.uint8]) -> Placed:
        """Put the mask of one of the class's real defects onto a plate.

        Args:
            rng: Source of randomness, of one request.
            plate: The good picture.
            picture: ``(H, W, 3)`` uint8, its pixels.

        Raises:
            UserError: If no real defect says where it is, or none fits the allowed area.
        """
        allowed = allowed_area(plate, picture, self._config)
        size = picture.shape[0], picture.shape[1]
        source, mask = self._sources[int(rng.integers(len(self._sources)))]
        placement = place(rng, mask, size, self._config, allowed)
        moved = placement.move_mask(mask)
        return Placed(moved if allowed is None else moved & allowed, source, placement)

    def drawn(self, rng: np.random.Generator, plate: Sample, picture: NDArray[np.uint8]) -> Mask:
        """Draw a shape of the class onto a plate: ``(H, W)`` bool, not empty.

        Arguments and errors are those of ``real``; a class without real masks is drawn too.
        """
        allowed = allowed_area(plate, picture, self._config)
        for _ in range(TRIES):
            mask = draw_shape(rng, self._shape, (picture.shape[0], picture.shape[1]))
            if allowed is None:
                return mask
            if float(allowed[mask].mean()) >= LEAST_INSIDE:
                return mask & allowed
        raise UserError(
            f"{plate.uri}: a drawn mask fits nowhere into its allowed area: draw a larger area, or "
            "use --spec.masks real."
        )
