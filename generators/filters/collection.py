"""Trying again until a set is full or the budget is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from millsight.generators.filters.chain import FilterChain
from millsight.generators.filters.config import BudgetConfig
from millsight.generators.filters.table import AcceptTable
from millsight.generators.samples import Engine, Generated, Request, SampleSpec


class Collection:
    """A set in the making: which requests are next, and what became of them.

    Rounds go through the samples in order: first attempts at all of them, then second attempts at
    those rejected, and so on. Requests and verdicts depend on the spec, the materials and the
    calibration alone, whoever answers and in batches of whatever size.

    Args:
        spec: What is wanted.
        chain: The filters.
        budget: How much may be tried.

    Raises:
        UserError: If spec or budget are wrong.
    """

    def __init__(self, spec: SampleSpec, chain: FilterChain, budget: BudgetConfig) -> None:
        spec.check()
        budget.check()
        self.spec, self.budget = spec, budget
        self.table = AcceptTable()
        self.attempts = 0
        self._chain = chain
        self._open = [Request(spec, index) for index in range(spec.count)]

    @property
    def accepted(self) -> int:
        """Samples accepted so far."""
        return self.spec.count - len(self._open)

    def round(self) -> list[Request]:
        """Return the requests of the next round, in order; none when the set or budget is done."""
        left = max(0, self.budget.most(self.spec.count) - self.attempts)
        tries = [request for request in self._open if request.attempt < self.budget.attempts]
        return tries[:left]

    def judge(self, answers: Sequence[Generated]) -> list[Generated]:
        """Judge answers to requests of this round, in their order; verdicts are added."""
        judged = self._chain.judge(answers)
        self.attempts += len(judged)
        after = {item.request.index: item.accepted for item in judged}
        self._open = [
            Request(request.spec, request.index, request.attempt + (request.index in after))
            for request in self._open
            if not after.get(request.index)
        ]
        for item in judged:
            self.table.add(item)
        return judged

    def summary(self) -> dict[str, Any]:
        """Return, JSON-like, what was wanted, what came, and why the rest did not."""
        return {
            "label": self.spec.label,
            "mode": self.spec.mode,
            "wanted": self.spec.count,
            "accepted": self.accepted,
            "attempts": self.attempts,
            "most_attempts": self.budget.most(self.spec.count),
            "missing": [request.index for request in self._open],
            "table": self.table.rows(),
        }

    def to_text(self) -> str:
        """Return the table, and what is missing, for people."""
        told = f"{self.accepted} of {self.spec.count} samples of {self.spec.label} accepted in "
        lines = [self.table.to_text(), f"{told}{self.attempts} attempts."]
        if self._open:
            rejecting = [row for row in self.table.rows()[:-1] if row["rejected"]]
            most = max(rejecting, key=lambda row: int(row["rejected"]), default=None)
            why = f" Most were rejected by the filter {most['filter']!r}." if most else ""
            lines.append(
                f"{len(self._open)} are missing.{why} Look at the rejected ones; then raise "
                "--budget.attempts and --budget.total, or change the spec."
            )
        return "\n".join(lines)


def collect(engine: Engine, collection: Collection) -> Iterator[Generated]:
    """Fill a set with one engine, in this process.

    Yields:
        Every sample that was tried, accepted or not, with its verdicts.

    Raises:
        UserError: If the materials do not allow what is asked.
    """
    while requests := collection.round():
        for start in range(0, len(requests), collection.budget.batch_size):
            batch = requests[start : start + collection.budget.batch_size]
            yield from collection.judge(engine.generate(batch))
