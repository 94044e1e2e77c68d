"""How many samples each filter rejected, by class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from millsight.generators.samples import Generated

HEADER = ("class", "filter", "judged", "rejected", "alone", "abstained", "accepted")
ALL = "all filters"


@dataclass
class AcceptTable:
    """Counts of verdicts, by class and filter.

    A sample that several filters reject counts for each of them; ``alone`` counts those that no
    other filter would have rejected.
    """

    _counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def add(self, generated: Generated) -> None:
        """Count a sample that all filters have judged."""
        label = generated.request.spec.label
        rejected = [verdict.name for verdict in generated.verdicts if not verdict.accepted]
        for verdict in generated.verdicts:
            counts = self._row(label, verdict.name)
            counts["judged"] += 1
            counts["rejected"] += not verdict.accepted
            counts["alone"] += rejected == [verdict.name]
            counts["abstained"] += verdict.abstained
        self._row(label, ALL)["judged"] += 1
        self._row(label, ALL)["rejected"] += bool(rejected)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per class and filter, and one per class for all filters.

        Each has ``class``, ``filter``, ``judged``, ``rejected``, ``alone``, ``abstained`` and
        ``accepted``, the share in [0, 1] that a filter let pass.
        """
        return [
            {"class": label, "filter": name}
            | {key: counts[key] for key in HEADER[2:-1]}
            | {"accepted": 1 - counts["rejected"] / counts["judged"]}
            for (label, name), counts in sorted(
                self._counts.items(), key=lambda item: (item[0][0], item[0][1] == ALL)
            )
        ]

    def to_text(self) -> str:
        """Return the rows as lines of columns."""
        lines: list[tuple[str, ...]] = [HEADER]
        for row in self.rows():
            cells = [str(row[key]) for key in HEADER[:-1]]
            lines.append((*cells, f"{100 * row['accepted']:.1f} %"))
        widths = [max(len(line[at]) for line in lines) for at in range(len(HEADER))]
        return "\n".join(_line(line, widths) for line in lines)

    def _row(self, label: str, name: str) -> Counter[str]:
        return self._counts.setdefault((label, name), Counter())


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join(words + numbers)
