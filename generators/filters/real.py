"""The real pictures that generated ones are held against, and how near those lie to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.looks import Looks, Picture, look
from millsight.generators.masks.sources import defect_classes, real_mask, real_picture
from millsight.generators.masks.squares import Square, squares
from millsight.generators.quality.features import FeatureNet, cosine_distances
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import GOOD, Sample
from millsight.platform.errors import UserError
from millsight.platform.progress import Progress

TRAIN = "train"
SQUARES = 4096
Key = tuple[object, ...]
# What was looked at last: a recipe makes a set per class out of the same real pictures.
_LAST: dict[Key, RealCrops] = {}


@dataclass(frozen=True)
class Crop:
    """One crop of a real picture, by name.

    Attributes:
        sample: The picture.
        label: Class of the defect in the crop, or good.
        place: For good ones, the defect whose square is cut out of the good picture.
    """

    sample: Sample
    label: str
    place: Sample | None = None

    @property
    def object(self) -> str:
        """The physical object; a picture without a group is one by itself."""
        return f"{self.sample.category}/{self.sample.group or self.sample.id}"

    def cut(self, config: FilterConfig) -> Picture:
        """Return its pixels, ``(S, S, 3)`` uint8.

        Raises:
            UserError: If the picture does not decode.
        """
        picture = real_picture(self.sample)
        place = self.place or self.sample
        labels = (self.label,) if self.place is None else defect_classes([place])
        squares_of = (_square(place, one, config.context, config.least_side) for one in labels)
        found = next((one for one in squares_of if one is not None), None)
        if found is None:
            return picture
        x, y, side = found
        height, width = picture.shape[:2]
        side = min(side, height, width)
        x, y = min(x, width - side), min(y, height - side)
        return picture[y : y + side, x : x + side]


@lru_cache(maxsize=SQUARES)
def _square(sample: Sample, label: str, context: float, least: int) -> Square | None:
    """Where the largest defect of a class is; a defect and the good place beside it both ask."""
    mask = real_mask(sample, label)
    return None if mask is None else squares(mask, context, least)[0]


@dataclass(frozen=True)
class RealCrops:
    """N crops of real pictures.

    Attributes:
        crops: What they are.
        looks: What they look like.
    """

    crops: tuple[Crop, ...]
    looks: Looks

    def __len__(self) -> int:
        return len(self.crops)

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """``(N,)`` classes."""
        return np.array([crop.label for crop in self.crops])

    @cached_property
    def objects(self) -> NDArray[np.str_]:
        """``(N,)`` names of physical objects."""
        return np.array([crop.object for crop in self.crops])

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        """``(N,)`` splits."""
        return np.array([crop.sample.split or "" for crop in self.crops])

    def select(self, chosen: NDArray[np.bool_]) -> RealCrops:
        """Return the crops of an ``(N,)`` mask."""
        kept = tuple(self.crops[at] for at in np.flatnonzero(chosen))
        return RealCrops(kept, self.looks.select(chosen))

    def of_class(self, label: str) -> RealCrops:
        """Return the crops of a class."""
        return self.select(self.labels == label)

    @property
    def object_count(self) -> int:
        """Number of different physical objects."""
        return len(set(self.objects.tolist()))

    def nearest_others(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(N,)`` distances of each crop to the nearest one of another object.

        Infinite where there is no other object.

        Args:
            vectors: ``looks.features`` or ``looks.pixels``.
        """
        if not len(self):
            return np.empty(0, np.float32)
        distances = cosine_distances(vectors, vectors)
        distances[self.objects[:, None] == self.objects[None, :]] = np.inf
        nearest: NDArray[np.float32] = distances.min(axis=1)
        return nearest


def load_crops(
    network: FeatureNet, catalog: Catalog, config: FilterConfig, progress: Progress | None = None
) -> RealCrops:
    """Look at every real defect of every split, and at as many good places of the training split.

    Good places are squares of the training defects' sizes and positions, on good pictures.
    Synthetic pictures are left out. What was looked at last in this process is not looked at again.

    Args:
        network: Gives the features.
        catalog: Real pictures with their splits.
        config: How crops are cut.
        progress: Called with crops done and crops in all.

    Raises:
        UserError: If there is no defect, or a picture does not decode.
    """
    key = (*network.key, catalog.fingerprint, catalog.uri, config.context, config.least_side)
    found = _LAST.get(key)
    if found is None:
        found = _load(network, catalog, config, progress)
        # Another thread may have looked at another catalog meanwhile.
        _LAST.clear()
        _LAST[key] = found
    return found


def _load(
    network: FeatureNet, catalog: Catalog, config: FilterConfig, progress: Progress | None
) -> RealCrops:
    real = [sample for sample in catalog if not sample.derived]
    defects = [Crop(sample, label) for sample in real for label in defect_classes([sample])]
    if not defects:
        raise UserError(
            f"--data {catalog.uri}: no picture of a defect to hold generated ones against; see: "
            "millsight data inspect"
        )
    plates = [sample for sample in real if sample.split == TRAIN and sample.defective is False]
    places = [crop.sample for crop in defects if crop.sample.split == TRAIN] if plates else []
    # Over all of the plates: neighbours in a catalog often show one object.
    step = max(1, len(plates) // max(1, len(places)))
    shown = [plates[at * step % len(plates)] for at in range(len(places))]
    goods = [Crop(plate, GOOD, place) for plate, place in zip(shown, places, strict=True)]
    crops = tuple(defects + goods)
    return RealCrops(crops, look(network, _cuts(crops, config, progress)))


def _cuts(
    crops: Sequence[Crop], config: FilterConfig, progress: Progress | None
) -> Iterator[Picture]:
    for done, crop in enumerate(crops, 1):
        yield crop.cut(config)
        if progress is not None:
            progress(done, len(crops))
