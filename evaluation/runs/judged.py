"""Runs with their numbers, and how the further ones differ from the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from millsight.evaluation.metrics import BootstrapConfig, Estimate, UnitCosts
from millsight.evaluation.results.curves import Curve
from millsight.evaluation.results.evaluating import (
    ResultEvaluation,
    compare_results,
    evaluate_results,
    result_curves,
)
from millsight.evaluation.results.row import PictureResult
from millsight.evaluation.results.table import from_table, without_histograms
from millsight.evaluation.runs.commands import CostConfig
from millsight.evaluation.runs.map_sources import judge_exactly
from millsight.evaluation.runs.sources import Source
from millsight.platform.errors import UserError

Differences = dict[str, dict[str, dict[str, Estimate]]]
SHOWN = 3


@dataclass(frozen=True)
class JudgedRun:
    """One run and its numbers.

    Attributes:
        source: What it was made from.
        table: Its result table.
        evaluation: Its numbers; those of maps that are at hand come from every pixel.
        curves: Its curves.
        differences: This run minus the first, paired; empty for the first.
    """

    source: Source
    table: pa.Table
    evaluation: ResultEvaluation
    curves: list[Curve]
    differences: Differences

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.source.name

    def rows(self) -> list[PictureResult]:
        """Return its rows, without the histograms."""
        return list(from_table(without_histograms(self.table)))


def judge(sources: Sequence[Source], costs: CostConfig, resamples: int) -> list[JudgedRun]:
    """Judge every run, and compare the further ones with the first.

    Raises:
        UserError: If a table cannot be made, runs were made over different pictures, or generated
            pictures lie among real ones.
    """
    bootstrap = BootstrapConfig(n_resamples=resamples)
    unit_costs = None
    if costs.escape is not None and costs.overkill is not None:
        unit_costs = UnitCosts(costs.escape, costs.overkill, costs.prevalence)
    runs: list[JudgedRun] = []
    reference = ResultEvaluation()
    for source in sources:
        table = source.load()
        _refuse_mixture(source.name, table)
        found = evaluate_results(table, costs=unit_costs, bootstrap=bootstrap)
        differences = _compare(source, found, sources[0], reference) if runs else {}
        reference = reference if runs else found
        runs.append(
            JudgedRun(
                source,
                table,
                _exact(source, found, bootstrap),
                result_curves(table),
                differences,
            )
        )
    return runs


def _exact(source: Source, found: ResultEvaluation, bootstrap: BootstrapConfig) -> ResultEvaluation:
    if source.maps is None:
        return found
    return replace(found, maps=judge_exactly(source.maps, bootstrap))


def _compare(
    source: Source, found: ResultEvaluation, first: Source, reference: ResultEvaluation
) -> Differences:
    try:
        return compare_results(found, reference)
    except UserError as error:
        raise UserError(f"{source.name} against {first.name}: {error}") from None


def _refuse_mixture(name: str, table: pa.Table) -> None:
    """Refuse generated pictures among real ones; a set that is generated throughout says so."""
    generated = table.filter(table["synthetic"])
    if not 0 < generated.num_rows < table.num_rows:
        return
    shown = ", ".join(generated["uri"].slice(0, SHOWN).to_pylist())
    more = f" and {generated.num_rows - SHOWN} more" if generated.num_rows > SHOWN else ""
    raise UserError(
        f"{name}: {generated.num_rows} of {table.num_rows} pictures are generated: {shown}{more}. "
        "What a model does on them says nothing about real parts; judge it on real ones only."
    )
