"""What a filter is, and how it says what it found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from millsight.generators.filters.looks import Candidate
from millsight.generators.samples import Verdict


class Filter(Protocol):
    """Judges each sample by itself, wherever it was made."""

    @property
    def name(self) -> str:
        """Stands in verdicts and tables."""
        ...

    def judge(self, batch: Sequence[Candidate]) -> list[Verdict]:
        """Return one verdict per candidate."""
        ...


class SetFilter(Protocol):
    """Judges a sample against those that were accepted before it."""

    @property
    def name(self) -> str:
        """Stands in verdicts and tables."""
        ...

    def judge(self, candidate: Candidate) -> Verdict:
        """Judge a candidate; ``keep`` was called with all that were accepted so far."""
        ...

    def keep(self, candidate: Candidate) -> None:
        """Remember a candidate that every filter accepted."""
        ...

    def emptied(self) -> SetFilter:
        """Return the same filter, which remembers nothing."""
        ...


def abstain(name: str, reason: str) -> Verdict:
    """Return the verdict of a filter that cannot judge."""
    return Verdict(name, True, math.nan, reason, abstained=True)
