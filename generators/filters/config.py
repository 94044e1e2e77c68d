"""Settings of the filters and of trying again."""

from __future__ import annotations

from dataclasses import dataclass

from millsight.platform.errors import UserError


@dataclass
class FilterConfig:
    """How strictly samples are judged; limits themselves come from the real pictures.

    Attributes:
        network: In whose features pictures are compared: any timm weights.
        error_rate: Share of real pictures that a filter would reject if they were judged as
            generated ones are; every calibrated limit is this quantile of the real pictures.
        slack: How far brightness, contrast and saturation may lie beyond those of all real
            pictures, as a share of their range; and how far beyond its limit an outlier begins, as
            a share of it. Few real pictures do not show all that there can be.
        standing_out: How many times the plate's own texture a defect differs from it.
        context: How far the crop that is looked at reaches beyond its defect on each side; share of
            the defect's longer side.
        least_side: Smallest side of that crop, pixels.
        copy_share: What is nearer to a real picture, or to another sample, than this share of the
            limit is a copy of it.
        own_share: The same for a sample that comes from a real defect by design, as a variation
            does, and for two samples that come from one.
        least_objects: A class with fewer real training objects than this gets the limits of all
            classes together; where all have fewer, filters that need limits abstain.
        folds: Parts of the cross-validation of the recognizer.
        significance: Greatest probability that a recognizer which knows nothing does as well; with
            a greater one, it abstains.
        quota: Most accepted samples per class, over all specs; ``None`` for no limit.
    """

    network: str = "embedded:efficientnet-lite0"
    error_rate: float = 0.02
    slack: float = 0.25
    standing_out: float = 1.0
    context: float = 0.25
    least_side: int = 64
    copy_share: float = 0.5
    own_share: float = 0.1
    least_objects: int = 5
    folds: int = 5
    significance: float = 0.05
    quota: int | None = None

    def check(self) -> None:
        """Refuse what cannot judge.

        Raises:
            UserError: Naming the setting.
        """
        for name in ("error_rate", "significance"):
            if not 0 <= getattr(self, name) < 0.5:
                raise UserError(f"--filters.{name} {getattr(self, name)}: from 0 to below 0.5.")
        for name in ("slack", "standing_out", "context", "copy_share", "own_share"):
            if getattr(self, name) < 0:
                raise UserError(f"--filters.{name} {getattr(self, name)}: 0 or more.")
        for name, least in (("least_side", 8), ("least_objects", 3), ("folds", 2)):
            if getattr(self, name) < least:
                raise UserError(f"--filters.{name} {getattr(self, name)}: at least {least}.")
        if self.quota is not None and self.quota < 0:
            raise UserError(f"--filters.quota {self.quota}: 0 or more.")


@dataclass
class BudgetConfig:
    """How much may be tried for a set.

    Attributes:
        attempts: Most attempts at one sample.
        total: Most attempts in all, as a multiple of the samples wanted.
        batch_size: Requests that an engine answers at once; the set does not depend on it.
    """

    attempts: int = 6
    total: float = 3.0
    batch_size: int = 16

    def check(self) -> None:
        """Refuse a budget for nothing.

        Raises:
            UserError: Naming the setting.
        """
        if self.attempts < 1 or self.batch_size < 1:
            raise UserError("--budget.attempts and --budget.batch_size: at least 1.")
        if self.total < 1:
            raise UserError(f"--budget.total {self.total}: at least 1, an attempt at each sample.")

    def most(self, count: int) -> int:
        """Return the attempts that may be made for ``count`` samples."""
        return int(self.total * count)
