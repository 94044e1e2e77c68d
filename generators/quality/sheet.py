"""A sheet of generated pictures beside the real ones that they come nearest to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from millsight.generators.quality.memorisation import NearestReal
from millsight.platform.contact_sheets import Picture, captioned, fitted, in_rows

ACROSS = 4


def memorisation_sheet(
    real: Sequence[Picture], generated: Sequence[Picture], found: NearestReal, most: int = 24
) -> list[Sequence[Picture]]:
    """Return rows of tiles: generated pictures, each with the real one that is nearest to it.

    The nearest first. Above each: its distance, and that of the real picture to its own nearest
    one.

    Args:
        real: The M that ``found`` speaks of.
        generated: The N.
        found: Of ``nearest_real``.
        most: Generated pictures to show.
    """
    tiles = []
    for number in np.argsort(found.distances, kind="stable")[:most]:
        own = int(found.nearest[number])
        text = f"{number}: {found.distances[number]:.3f}, real {found.usual[own]:.3f}"
        tiles.append(captioned(text, (fitted(generated[number]), fitted(real[own]))))
    return in_rows(tiles, ACROSS)
