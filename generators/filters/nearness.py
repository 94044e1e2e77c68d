"""Too near to a real picture, too far from all of them, or too near to another sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.limits import Limits
from millsight.generators.filters.looks import Candidate, Looks
from millsight.generators.filters.real import TRAIN, RealCrops
from millsight.generators.filters.verdicts import abstain
from millsight.generators.quality.features import cosine_distances
from millsight.generators.samples import Verdict

TINY = 1e-9


@dataclass(frozen=True)
class _RealFilter(ABC):
    """Compares with real crops, for classes that have limits.

    Attributes:
        real: What is compared with.
        limits: By class.
        config: The settings.
        name: Of the filter.
    """

    real: RealCrops
    limits: dict[str, Limits]
    config: FilterConfig
    name: str = ""

    def judge(self, batch: Sequence[Candidate]) -> list[Verdict]:
        """Judge crops."""
        return [self._judge(candidate) for candidate in batch]

    def _judge(self, candidate: Candidate) -> Verdict:
        limits = self.limits.get(candidate.label)
        if limits is None:
            return abstain(self.name, _too_few(candidate.label, self.config))
        return self._compare(candidate, limits)

    @abstractmethod
    def _compare(self, candidate: Candidate, limits: Limits) -> Verdict: ...


@dataclass(frozen=True)
class MemorisedFilter(_RealFilter):
    """Rejects copies of real defects of any split, by features or by pixels.

    A copy is nearer to a real picture, by ``copy_share``, than nearly all real pictures are to
    those of other objects. Two modes start from a real training picture by design: ``copy_paste``
    may look like its own source, and a ``variation`` is a copy of it from ``own_share`` on.

    ``real`` is of all splits; the value is the distance to the nearest as a share of the limit.
    """

    name: str = "memorised"

    def _compare(self, candidate: Candidate, limits: Limits) -> Verdict:
        shares = np.minimum(*_shares(candidate.looks, self.real.looks, limits))
        copies = self._copies(candidate)
        nearest, accepted = _nearest(shares, copies)
        sample, value = self.real.crops[nearest].sample, float(shares[nearest])
        reason = (
            f"{value:.2f} of the distance between different real ones, from {sample.uri} "
            f"({sample.split or 'no split'}); a copy is below {copies[nearest]:g}"
        )
        return Verdict(self.name, accepted, value, reason)

    def _copies(self, candidate: Candidate) -> NDArray[np.float64]:
        """``(M,)``: below which share of the limit a candidate is a copy of each real picture."""
        config, crops = self.config, self.real.crops
        from_source = 0.0 if candidate.mode == "copy_paste" else config.own_share
        objects = {crop.object for crop in crops if crop.sample.id == candidate.source}
        own = [crop.object in objects and crop.sample.split == TRAIN for crop in crops]
        return np.where(own, from_source, config.copy_share)


@dataclass(frozen=True)
class OutlierFilter(_RealFilter):
    """Rejects what is farther from its class than nearly all real ones are.

    ``real`` is of the training split; the value is the distance to the nearest one of the class.
    """

    name: str = "outlier"

    def _compare(self, candidate: Candidate, limits: Limits) -> Verdict:
        own = self.real.of_class(candidate.label).looks.features
        if not len(own):
            return abstain(self.name, f"no real training picture of {candidate.label}")
        value = float(cosine_distances(candidate.looks.features, own).min())
        limit = limits.far * (1 + self.config.slack)
        reason = f"{value:.4f} from the nearest real one (at most {limit:.4f})"
        return Verdict(self.name, value <= limit, value, reason)


@dataclass
class DuplicateFilter:
    """Rejects what is a copy of an accepted sample of its class, in features and in pixels.

    Features alone do not tell: among hundreds of samples, some look alike. Samples that were made
    from one real defect by design are copies only from ``own_share`` on.

    Attributes:
        limits: By class.
        config: The settings.
        name: Of the filter.
    """

    limits: dict[str, Limits]
    config: FilterConfig
    name: str = "duplicate"
    _kept: dict[str, list[tuple[Looks, str | None, int]]] = field(default_factory=dict)

    def judge(self, candidate: Candidate) -> Verdict:
        """Judge a crop; the value is the distance to the nearest as a share of the limit."""
        limits = self.limits.get(candidate.label)
        if limits is None:
            return abstain(self.name, _too_few(candidate.label, self.config))
        kept = self._kept.get(candidate.label, [])
        if not kept:
            return Verdict(self.name, True, float("nan"), "the first of its class")
        others = Looks(
            np.concatenate([looks.features for looks, _, _ in kept]),
            np.concatenate([looks.pixels for looks, _, _ in kept]),
        )
        shares = np.maximum(*_shares(candidate.looks, others, limits))
        related = [source is not None and source == candidate.source for _, source, _ in kept]
        copies = np.where(related, self.config.own_share, self.config.copy_share)
        nearest, accepted = _nearest(shares, copies)
        value, index = float(shares[nearest]), kept[nearest][2]
        reason = (
            f"{value:.2f} of the distance between different real ones, from sample {index}; "
            f"a copy is below {copies[nearest]:g}"
        )
        return Verdict(self.name, accepted, value, reason)

    def keep(self, candidate: Candidate) -> None:
        """Remember an accepted sample."""
        kept = candidate.looks, candidate.source, candidate.generated.request.index
        self._kept.setdefault(candidate.label, []).append(kept)

    def emptied(self) -> DuplicateFilter:
        """Return the same filter, which remembers nothing."""
        return DuplicateFilter(self.limits, self.config)


def _shares(
    looks: Looks, others: Looks, limits: Limits
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(M,)`` distances of one crop to others as shares of the limits, in features and pixels."""
    features = cosine_distances(looks.features, others.features)[0].astype(np.float64)
    pixels = cosine_distances(looks.pixels, others.pixels)[0].astype(np.float64)
    return features / max(limits.features, TINY), pixels / max(limits.pixels, TINY)


def _nearest(shares: NDArray[np.float64], copies: NDArray[np.float64]) -> tuple[int, bool]:
    """Number of the one that is most nearly copied, and whether it is not; at 0 none can be."""
    nearer = np.divide(shares, copies, out=np.full(shares.shape, np.inf), where=copies > 0)
    nearest = int(nearer.argmin())
    return nearest, bool(nearer[nearest] >= 1)


def _too_few(label: str, config: FilterConfig) -> str:
    return f"fewer than {config.least_objects} real objects to compare {label} with"
