"""Whether a recognizer that has seen real defects only takes a sample for its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.looks import Candidate
from millsight.generators.filters.real import TRAIN, RealCrops
from millsight.generators.filters.recognizer import Recognizer, cross_validated
from millsight.generators.filters.verdicts import abstain
from millsight.generators.samples import Verdict


@dataclass(frozen=True)
class AgreementFilter:
    """Rejects what looks less like its class than nearly all real defects of that class do.

    Real defects are judged by recognizers that have not seen their objects. A class that is not
    recognized better than by chance gets no verdict.

    Attributes:
        recognizer: Of the classes, good among them; ``None`` where there are fewer than 2.
        config: The settings.
        name: Of the filter.
    """

    recognizer: Recognizer | None
    config: FilterConfig
    name: str = "agreement"

    @classmethod
    def calibrate(cls, real: RealCrops, config: FilterConfig) -> AgreementFilter:
        """Learn from the crops of the training split."""
        own = real.select(real.splits == TRAIN)
        recognizer = cross_validated(
            own.looks.features, own.labels, own.objects, config.folds, config.significance
        )
        return cls(recognizer, config)

    def judge(self, batch: Sequence[Candidate]) -> list[Verdict]:
        """Judge crops; the value is the margin over the next class."""
        return [self._judge(candidate) for candidate in batch]

    def _judge(self, candidate: Candidate) -> Verdict:
        label, recognizer = candidate.label, self.recognizer
        if recognizer is None or label not in recognizer.margins:
            return abstain(self.name, f"too few real training pictures of {label} to learn from")
        if not recognizer.knows(label):
            chance = recognizer.by_chance(label)
            return abstain(
                self.name, f"{label} is recognized no better than by chance (p = {chance:.2f})"
            )
        margins = recognizer.margins[label]
        lowest = np.quantile(margins, self.config.error_rate, method="lower")
        limit = min(0.0, float(lowest))
        labels = np.array([label])
        margin = float(recognizer.discriminant.margins(candidate.looks.features, labels)[0])
        reason = f"margin for {label} {margin:.2f}; real pictures have {limit:.2f} or more"
        return Verdict(self.name, margin >= limit, margin, reason)
