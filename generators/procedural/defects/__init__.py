"""The defects procedural steel can carry, by name."""

from collections.abc import Callable

import numpy as np

from millsight.generators.procedural.defects.areas import inclusion, patch, scale
from millsight.generators.procedural.defects.damage import Damage
from millsight.generators.procedural.defects.lines import crack, crazing, scratch
from millsight.generators.procedural.defects.marks import edge_break, roll_mark
from millsight.generators.procedural.defects.spots import blowhole, oil_spot, pit
from millsight.generators.procedural.surfaces import Surface

DEFECTS: dict[str, Callable[[np.random.Generator, Surface], Damage]] = {
    "scratch": scratch,
    "crack": crack,
    "pit": pit,
    "inclusion": inclusion,
    "patch": patch,
    "roll_mark": roll_mark,
    "scale": scale,
    "edge_break": edge_break,
    "crazing": crazing,
    "blowhole": blowhole,
    "oil_spot": oil_spot,
}

__all__ = ["DEFECTS", "Damage"]
