"""Tables with a column per run, and how each differs from the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from millsight.evaluation.metrics import Estimate
from millsight.evaluation.metrics.results import ALL, Row
from millsight.evaluation.reports.blocks import Cell, Table, TableRow
from millsight.evaluation.reports.wording import METRICS, Wording
from millsight.evaluation.results.curves import Curve
from millsight.evaluation.results.evaluating import MAIN_ROW, ResultEvaluation

CORNERS = {"samples": "Slice", "boxes": "Boxes", "classes": "Class"}
SHOWN_CLASSES = 40


@dataclass(frozen=True)
class ReportRun:
    """One run as the report shows it.

    Attributes:
        name: Its name.
        evaluation: Its numbers.
        curves: Its curves.
        differences: This run minus the first, by task, row and metric; empty for the first.
    """

    name: str
    evaluation: ResultEvaluation
    curves: Sequence[Curve] = ()
    differences: Mapping[str, Mapping[str, Mapping[str, Estimate]]] | None = None


def run_table(title: str, runs: Sequence[ReportRun], task: str, names: Sequence[str]) -> Table:
    """A task's numbers over everything, a column per run."""
    rows = metric_rows(runs, task, MAIN_ROW[task], names)
    return Table(title, "Number", [run.name for run in runs], rows)


def row_table(runs: Sequence[ReportRun], task: str, metric: str) -> Table:
    """One metric by row (class, slice, size) and run; without rows for a single run."""
    wording = METRICS[metric]
    title = f"{wording.label} of every run"
    if len(runs) == 1:
        return Table(title, "", [], [])
    names = [name for name in runs[0].evaluation.tasks()[task].rows() if name != ALL]
    lines = {name: [_run_cell(run, task, name, metric) for run in runs] for name in names}
    rows = [
        TableRow(name.replace(":", " ", 1).removeprefix("class "), cells)
        for name, cells in list(lines.items())[:SHOWN_CLASSES]
        if cells[0].text != "-"
    ]
    return Table(title, CORNERS[task], [run.name for run in runs], rows)


def metric_rows(
    runs: Sequence[ReportRun], task: str, row: str, names: Sequence[str]
) -> list[TableRow]:
    """A row per metric that is defined for any run, a column per run."""
    rows = []
    for name in names:
        cells = [_run_cell(run, task, row, name) for run in runs]
        if any(cell.text != "-" for cell in cells):
            rows.append(TableRow(METRICS[name].label, cells, METRICS[name].meaning))
    return rows


def _run_cell(run: ReportRun, task: str, row: str, metric: str) -> Cell:
    judged = run.evaluation.tasks().get(task)
    found = judged.rows().get(row) if judged is not None else None
    if found is None:
        return Cell("-")
    gap = (run.differences or {}).get(task, {}).get(row, {}).get(metric)
    return metric_cell(found, metric, gap)


def metric_cell(row: Row, metric: str, gap: Estimate | None = None) -> Cell:
    """A number with its interval and, if given, how it differs from the first run's."""
    wording: Wording = METRICS[metric]
    number: Estimate = getattr(row, metric)
    text, interval = wording.text(number.value), wording.interval(number)
    if gap is None or math.isnan(gap.value):
        return Cell(text, interval)
    between = wording.interval(gap)
    difference = wording.gap(gap.value) + (f" ({between})" if between else "")
    return Cell(text, interval, difference, wording.verdict(gap))
