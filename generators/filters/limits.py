"""How near real pictures of different objects lie to each other: what copies are measured by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.real import TRAIN, RealCrops
from millsight.platform.catalog.sample import GOOD


@dataclass(frozen=True)
class Limits:
    """How near real pictures of different objects of one class lie to each other.

    Attributes:
        features: Nearly all lie farther from their nearest one, in features.
        pixels: Likewise, in pixels.
        far: Nearly all lie nearer to their nearest one of the training split, in features.
    """

    features: float
    pixels: float
    far: float

    @classmethod
    def calibrate(cls, real: RealCrops, config: FilterConfig) -> dict[str, Limits]:
        """Measure each class; ``far`` in the training split.

        Classes with too few objects have the limits of all classes together, in which a crop is
        still compared with its own class only. Where those are too few, there are no limits.
        """
        defects = real.select(real.labels != GOOD)
        every = sorted(set(defects.labels.tolist()))
        apart = {label: _Apart.measure(defects.of_class(label)) for label in every}
        together = _Apart.join(list(apart.values()))
        found = {}
        for label, own in apart.items():
            known = own if own.fewest >= config.least_objects else together
            if known.fewest >= config.least_objects:
                found[label] = cls(
                    float(np.quantile(known.features, config.error_rate)),
                    float(np.quantile(known.pixels, config.error_rate)),
                    float(np.quantile(known.learned, 1 - config.error_rate)),
                )
        return found


@dataclass(frozen=True)
class _Apart:
    """Distances of real crops to the nearest one of another object of their class.

    ``learned`` is of the training split, in features; ``fewest`` the number of objects there.
    """

    features: NDArray[np.float32]
    pixels: NDArray[np.float32]
    learned: NDArray[np.float32]
    fewest: int

    @classmethod
    def measure(cls, own: RealCrops) -> _Apart:
        learned = own.select(own.splits == TRAIN)
        features = _known(own.nearest_others(own.looks.features))
        pixels = _known(own.nearest_others(own.looks.pixels))
        far = _known(learned.nearest_others(learned.looks.features))
        return cls(features, pixels, far, learned.object_count if far.size else 0)

    @classmethod
    def join(cls, parts: Sequence[_Apart]) -> _Apart:
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.learned for part in parts]),
            sum(part.fewest for part in parts),
        )


def _known(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Those of crops that have another object beside them."""
    return distances[np.isfinite(distances)]
