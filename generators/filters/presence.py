"""Whether a defect can be seen where the label says it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.looks import Candidate, Picture
from millsight.generators.filters.verdicts import abstain
from millsight.generators.masks.labels import SHIFTS
from millsight.generators.masks.morphology import Mask, dilate, reach
from millsight.generators.samples import Generated, Verdict
from millsight.platform.anomaly_scorers import AnomalyScorer

PEAK = 0.95
COARSE = 0.25
BESIDE = 0.02


def standing_out(generated: Generated, plate: Picture) -> tuple[float, float]:
    """Return how much a picture differs from its plate inside its mask, and outside.

    Differences are compared with those of the plate to itself, moved by a few pixels: 1 is as much
    as its own texture varies. At a fine and at a coarse scale; the larger counts, so that both
    hair lines and soft shades are seen.

    Args:
        generated: With a mask that is not empty.
        plate: ``(H, W, 3)`` uint8.
    """
    mask = generated.mask
    outside = ~dilate(mask, reach(BESIDE, (mask.shape[0], mask.shape[1])))
    found = []
    for sigma in (1.0, max(1.0, COARSE * math.sqrt(mask.sum()))):
        before, after = _smooth(plate, sigma), _smooth(generated.picture, sigma)
        own = [_peak(before, moved, mask) for moved in _moved(before, sigma)]
        texture = max(1.0, float(np.median(own)))
        beside = _peak(before, after, outside) if outside.any() else 0.0
        found.append((_peak(before, after, mask) / texture, beside / texture))
    inside, beyond = zip(*found, strict=True)
    return max(inside), min(beyond)


@dataclass(frozen=True)
class DifferenceFilter:
    """Rejects samples on plates whose mask shows nothing, or less than the rest of the picture.

    Attributes:
        config: The settings.
        name: Of the filter.
    """

    config: FilterConfig
    name: str = "difference"

    def judge(self, batch: Sequence[Candidate]) -> list[Verdict]:
        """Judge the difference to the plate; the value is that in the mask."""
        return [self._judge(candidate.generated) for candidate in batch]

    def _judge(self, generated: Generated) -> Verdict:
        if generated.plate is None:
            return abstain(self.name, "there is no plate to compare with")
        if not generated.mask.any():
            return Verdict(self.name, False, 0.0, "nothing differs from the plate")
        inside, outside = standing_out(generated, generated.plate)
        limit = self.config.standing_out
        reason = f"differs {inside:.2f} times the plate's texture (at least {limit:g})"
        if inside >= limit and outside > inside:
            return Verdict(self.name, False, inside, f"{reason}, but {outside:.2f} times beside it")
        return Verdict(self.name, inside >= limit, inside, reason)


@dataclass(frozen=True)
class AnomalyFilter:
    """Rejects samples on plates that an anomaly map does not see: KeAD's, say.

    Attributes:
        scorer: Gives maps.
        name: Of the filter.
    """

    scorer: AnomalyScorer
    name: str = "anomaly"

    def judge(self, batch: Sequence[Candidate]) -> list[Verdict]:
        """Judge by how far the map's mean in the mask lies above the plate's there."""
        pairs = [
            (candidate.generated, candidate.generated.plate)
            for candidate in batch
            if candidate.generated.plate is not None and candidate.generated.mask.any()
        ]
        pictures = [item.picture for item, _ in pairs] + [plate for _, plate in pairs]
        maps = self.scorer(pictures) if pairs else []
        rises = {
            id(item): _mean(maps[at], item.mask) - _mean(maps[at + len(pairs)], item.mask)
            for at, (item, _) in enumerate(pairs)
        }
        return [self._judge(rises.get(id(candidate.generated))) for candidate in batch]

    def _judge(self, rise: float | None) -> Verdict:
        if rise is None:
            return abstain(self.name, "there is no plate, or no mask, to compare with")
        reason = f"the anomaly map rises by {rise:.4f} over the plate's"
        return Verdict(self.name, rise > 0, rise, reason)


def _mean(grid: NDArray[np.float32], mask: Mask) -> float:
    """Mean of a map, weighted by how much of each cell the mask covers."""
    height, width = grid.shape
    covered = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return float((grid * covered).sum() / covered.sum())


def _smooth(picture: Picture, sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma), np.float32)


def _moved(smooth: NDArray[np.float32], sigma: float) -> Iterator[NDArray[np.float32]]:
    """The picture moved far enough that equal texture no longer overlaps."""
    for down, right in SHIFTS:
        yield np.roll(smooth, (math.ceil(down * sigma), math.ceil(right * sigma)), (0, 1))


def _peak(one: NDArray[np.float32], other: NDArray[np.float32], region: Mask) -> float:
    return float(np.quantile(np.abs(one - other).max(axis=2)[region], PEAK))
