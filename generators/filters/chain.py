"""All filters in order, calibrated on a catalog of real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from millsight.generators.filters.agreement import AgreementFilter
from millsight.generators.filters.blank import BlankFilter, evenly
from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.limits import Limits
from millsight.generators.filters.looks import Candidate, candidates
from millsight.generators.filters.nearness import DuplicateFilter, MemorisedFilter, OutlierFilter
from millsight.generators.filters.presence import AnomalyFilter, DifferenceFilter
from millsight.generators.filters.quota import QuotaFilter
from millsight.generators.filters.real import TRAIN, RealCrops, load_crops
from millsight.generators.filters.verdicts import Filter, SetFilter
from millsight.generators.masks.sources import of_split
from millsight.generators.quality.features import FeatureNet
from millsight.generators.samples import Generated
from millsight.platform.anomaly_scorers import AnomalyScorer
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import GOOD
from millsight.platform.progress import Progress
from millsight.platform.weights import load_weights


@dataclass(frozen=True)
class FilterChain:
    """Filters of single samples, then filters of the set.

    Attributes:
        network: Gives features.
        config: The settings.
        filters: They judge a sample by itself.
        set_filters: They judge it against those accepted before.
    """

    network: FeatureNet
    config: FilterConfig
    filters: Sequence[Filter]
    set_filters: Sequence[SetFilter]

    @classmethod
    def calibrate(
        cls,
        catalog: Catalog,
        config: FilterConfig,
        *,
        scorer: AnomalyScorer | None = None,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> FilterChain:
        """Look at the real pictures and derive every limit from them.

        Recognizer, grey levels and outliers use the training split only; copies are looked for in
        every split, so that no validation or test picture comes back as a training one.

        Args:
            catalog: Real pictures with their splits.
            config: The settings.
            scorer: Gives anomaly maps; ``None`` leaves that filter out.
            device: Where features are computed.
            progress: Called with crops looked at and crops in all.

        Raises:
            UserError: If a setting is wrong, there is no defect, or a picture does not decode.
        """
        config.check()
        network = FeatureNet(load_weights(config.network), device)
        real = load_crops(network, catalog, config, progress)
        limits = Limits.calibrate(real, config)
        train = of_split(catalog, TRAIN)
        filters: list[Filter] = [BlankFilter.calibrate(evenly(train), config)] if train else []
        filters += [DifferenceFilter(config)]
        filters += [AnomalyFilter(scorer)] if scorer is not None else []
        filters += _compared(real, limits, config)
        return cls(
            network, config, filters, [DuplicateFilter(limits, config), QuotaFilter(config.quota)]
        )

    def judge(self, batch: Sequence[Generated]) -> list[Generated]:
        """Add every filter's verdict; the accepted ones count as part of the set from then on.

        What is said of a sample depends on those judged before it, not on how they are batched.
        """
        if not batch:
            return []
        prepared = list(candidates(self.network, batch, self.config))
        columns = [one.judge(prepared) for one in self.filters]
        judged = []
        for number, candidate in enumerate(prepared):
            verdicts = [column[number] for column in columns]
            verdicts += [one.judge(candidate) for one in self.set_filters]
            found = replace(candidate.generated, verdicts=tuple(verdicts))
            if found.accepted:
                self._keep(candidate)
            judged.append(found)
        return judged

    def for_another_set(self) -> FilterChain:
        """Return the same calibrated filters, with nothing accepted yet."""
        return replace(self, set_filters=[one.emptied() for one in self.set_filters])

    def describe(self) -> dict[str, Any]:
        """Return, JSON-like, what the recognizer can do and where the limits lie, by class."""
        found: dict[str, Any] = {"features": self.config.network}
        for one in self.filters:
            if isinstance(one, AgreementFilter) and one.recognizer is not None:
                found["recognizer"] = one.recognizer.to_dict()
            if isinstance(one, MemorisedFilter):
                found["limits"] = {label: vars(limits) for label, limits in one.limits.items()}
        return found

    def _keep(self, candidate: Candidate) -> None:
        for one in self.set_filters:
            one.keep(candidate)


def _compared(real: RealCrops, limits: dict[str, Limits], config: FilterConfig) -> list[Filter]:
    defects = real.select(real.labels != GOOD)
    return [
        AgreementFilter.calibrate(real, config),
        MemorisedFilter(defects, limits, config),
        OutlierFilter(defects.select(defects.splits == TRAIN), limits, config),
    ]
