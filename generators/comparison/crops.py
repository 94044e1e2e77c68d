"""Crops around the defects of synthetic pictures, cut as those of the real ones are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.looks import look
from millsight.generators.filters.real import Crop
from millsight.generators.masks.sources import defect_classes
from millsight.generators.quality.features import FeatureNet
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.progress import Progress


@dataclass(frozen=True)
class SyntheticCrops:
    """N crops of synthetic pictures.

    Attributes:
        crops: What they are.
        features: ``(N, D)`` float32 of the network.
    """

    crops: Sequence[Crop]
    features: NDArray[np.float32]

    def of_class(self, label: str) -> SyntheticCrops:
        """Return the crops of a class."""
        chosen = [at for at, crop in enumerate(self.crops) if crop.label == label]
        return SyntheticCrops([self.crops[at] for at in chosen], self.features[chosen])


def look_at_sets(
    network: FeatureNet, sets: Sequence[Catalog], config: FilterConfig, progress: Progress
) -> SyntheticCrops:
    """Look at every defect of synthetic pictures.

    Args:
        network: Gives the features.
        sets: The pictures; may be none.
        config: How crops are cut.
        progress: Called with crops done and crops in all.

    Raises:
        UserError: If a picture does not decode.
    """
    samples = [sample for found in sets for sample in found]
    crops = [Crop(sample, label) for sample in samples for label in defect_classes([sample])]
    if not crops:
        return SyntheticCrops([], np.empty((0, 0), np.float32))

    def cuts() -> Iterator[NDArray[np.uint8]]:
        for done, crop in enumerate(crops, 1):
            yield crop.cut(config)
            progress(done, len(crops))

    return SyntheticCrops(crops, look(network, cuts()).features)
