"""How many samples a class may have."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from millsight.generators.filters.looks import Candidate
from millsight.generators.samples import Verdict


@dataclass
class QuotaFilter:
    """Rejects what comes after a class is full.

    Attributes:
        most: Accepted samples per class; ``None`` for no limit.
        name: Of the filter.
    """

    most: int | None = None
    name: str = "quota"
    _counts: Counter[str] = field(default_factory=Counter)

    def judge(self, candidate: Candidate) -> Verdict:
        """Judge by how many of the class were accepted before, which is the value."""
        count = self._counts[candidate.label]
        if self.most is None:
            return Verdict(self.name, True, count, "there is no limit")
        reason = f"{count} of at most {self.most} accepted before"
        return Verdict(self.name, count < self.most, count, reason)

    def keep(self, candidate: Candidate) -> None:
        """Count an accepted sample."""
        self._counts[candidate.label] += 1

    def emptied(self) -> QuotaFilter:
        """Return the same filter, which has counted nothing."""
        return QuotaFilter(self.most)
