"""What a defect looks like up close: features of a crop around it, and its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.generators.filters.config import FilterConfig
from millsight.generators.masks.morphology import Mask
from millsight.generators.masks.squares import squares
from millsight.generators.quality.features import BATCH, FeatureNet
from millsight.generators.samples import Generated, Mode

Picture = NDArray[np.uint8]
SIDE = 48
# Light and shade wider than this, of the side, say nothing about whether it is the same picture.
SHADE = 0.1


@dataclass(frozen=True)
class Looks:
    """N crops as vectors; each kind is compared by its cosine.

    Attributes:
        features: ``(N, D)`` float32 of the network.
        pixels: ``(N, P)`` float32: grey, reduced, without light and shade.
    """

    features: NDArray[np.float32]
    pixels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)

    def select(self, chosen: NDArray[np.bool_] | Sequence[int]) -> Looks:
        """Return those that are chosen, by mask or number."""
        return Looks(self.features[chosen], self.pixels[chosen])


@dataclass(frozen=True)
class Candidate:
    """A sample to judge, with the looks of the crop around its defect (one row)."""

    generated: Generated
    looks: Looks

    @property
    def label(self) -> str:
        """Its class."""
        return self.generated.request.spec.label

    @property
    def mode(self) -> Mode:
        """How it was made."""
        return self.generated.request.spec.mode

    @property
    def source(self) -> str | None:
        """Id of the real defect whose pixels it was made from; ``None`` if it was not."""
        if self.mode not in ("copy_paste", "variation"):
            return None
        source: dict[str, str | None] = self.generated.provenance.get("source", {})
        return source.get("id")


def crop_around(picture: Picture, mask: Mask | None, config: FilterConfig) -> Picture:
    """Cut out the square around the largest defect; all of the picture where none is marked.

    Args:
        picture: ``(H, W, 3)`` uint8.
        mask: ``(H, W)`` bool.
        config: Context and smallest side.
    """
    if mask is None or not mask.any():
        return picture
    x, y, side = squares(mask, config.context, config.least_side)[0]
    return picture[y : y + side, x : x + side]


def look(network: FeatureNet, crops: Iterable[Picture]) -> Looks:
    """Look at crops, of which only one batch is in memory at a time; at least one is needed."""
    rest, parts = iter(crops), []
    while part := list(islice(rest, BATCH)):
        parts.append(Looks(network(part), np.stack([_fingerprint(crop) for crop in part])))
    return Looks(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.pixels for part in parts]),
    )


def candidates(
    network: FeatureNet, batch: Sequence[Generated], config: FilterConfig
) -> Iterator[Candidate]:
    """Prepare a batch of samples, at least one, to be judged."""
    crops = (crop_around(item.picture, item.mask, config) for item in batch)
    looks = look(network, crops)
    for number, item in enumerate(batch):
        yield Candidate(item, looks.select([number]))


def _fingerprint(crop: Picture) -> NDArray[np.float32]:
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    detail = small - cv2.GaussianBlur(small, (0, 0), SHADE * SIDE)
    return np.asarray(detail - detail.mean(), np.float32).ravel()
