"""Blank pictures, and pictures whose grey levels no real one has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.looks import Candidate, Picture
from millsight.generators.masks.sources import real_picture
from millsight.generators.samples import Verdict
from millsight.platform.catalog.sample import Sample

MEASURES = ("brightness", "contrast", "saturation")
# The eye sees no less: a real set of one picture allows this much beside it.
LEAST = 4.0
MOST_PICTURES = 200


def measure(picture: Picture) -> NDArray[np.float64]:
    """Return ``(3,)``: mean and standard deviation in grey levels, and percent at 0 or 255."""
    grey = picture.mean(axis=2)
    clipped = 100 * ((grey == 0) | (grey == 255)).mean()
    return np.array([grey.mean(), grey.std(), clipped])


@dataclass(frozen=True)
class BlankFilter:
    """Rejects constant pictures, and those darker, brighter, flatter or harsher than all real ones.

    Attributes:
        lowest: ``(3,)`` of what ``measure`` returns.
        highest: Likewise.
        name: Of the filter.
    """

    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    name: str = "blank"

    @classmethod
    def calibrate(cls, pictures: Iterable[Picture], config: FilterConfig) -> BlankFilter:
        """Take the range of real pictures, at least one, and the slack beside it."""
        found = np.stack([measure(picture) for picture in pictures])
        low, high = found.min(axis=0), found.max(axis=0)
        slack = config.slack * (high - low) + LEAST
        return cls(low - slack, high + slack)

    def judge(self, batch: Sequence[Candidate]) -> list[Verdict]:
        """Judge whole pictures; the value is the mean grey level."""
        return [self._judge(candidate.generated.picture) for candidate in batch]

    def _judge(self, picture: Picture) -> Verdict:
        found = measure(picture)
        value = float(found[0])
        if found[1] == 0:
            return Verdict(self.name, False, value, f"all of it has the grey level {value:.0f}")
        for measured, low, high, what in zip(
            found, self.lowest, self.highest, MEASURES, strict=True
        ):
            if not low <= measured <= high:
                reason = f"{what} {measured:.1f}: real pictures allow {low:.1f} to {high:.1f}"
                return Verdict(self.name, False, value, reason)
        return Verdict(self.name, True, value, "grey levels as in real pictures")


def evenly(samples: Sequence[Sample]) -> Iterator[Picture]:
    """Open at most ``MOST_PICTURES`` of the samples, evenly spaced, one by one."""
    step = max(1, -(-len(samples) // MOST_PICTURES))
    return (real_picture(sample) for sample in samples[::step])
