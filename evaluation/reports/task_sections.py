"""The report's numbers, task by task, with every run side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from millsight.evaluation.metrics.results import Row
from millsight.evaluation.reports.blocks import Cell, Table, TableRow, TaskSection
from millsight.evaluation.reports.charts import MAX_LINES, draw_bars, draw_curve
from millsight.evaluation.reports.run_tables import (
    SHOWN_CLASSES,
    ReportRun,
    metric_cell,
    metric_rows,
    row_table,
    run_table,
)
from millsight.evaluation.reports.wording import METRICS
from millsight.evaluation.results.curves import Curve, Points
from millsight.evaluation.results.evaluating import HEADLINE, MAIN_ROW

FURTHER = ("seg_recall_10", "seg_recall_30", "seg_recall_50", "seg_recall_area", "sample_miou")
SLICE_METRICS = ("seg_miou", "seg_recall", "escape_rate")
BOX_METRICS = ("map_50", "map_50_95", "ar_1", "ar_10", "ar_100")


def task_sections(runs: Sequence[ReportRun]) -> list[TaskSection]:
    """Make the headline, a section per task but maps, and the curves; the first run leads."""
    first = runs[0].evaluation
    found = [_headline(runs)]
    if first.samples is not None:
        found.append(_samples(runs))
    if first.boxes is not None:
        found.append(_boxes(runs))
    if first.classes is not None:
        found.append(_classes(runs))
    found.append(_curves(runs))
    return [section for section in found if section.tables or section.plots]


def _headline(runs: Sequence[ReportRun]) -> TaskSection:
    rows = [
        row
        for task, names in HEADLINE.items()
        for row in metric_rows(runs, task, MAIN_ROW[task], names)
    ]
    note = _interval_note(runs)
    if len(runs) > 1:
        note += (
            f" Below a further run's number: how it differs from {runs[0].name}, picture by "
            "picture (paired); coloured where the interval of the difference excludes 0."
        )
    columns = [run.name for run in runs]
    tables = [Table("", "Number", columns, rows)] if rows else []
    return TaskSection("headline", "Headline", note, tables)


def _interval_note(runs: Sequence[ReportRun]) -> str:
    drawn = next(iter(runs[0].evaluation.tasks().values()), None)
    if drawn is None or not drawn.bootstrap.n_resamples:
        return "Shares in percent. No intervals were drawn."
    return (
        f"Shares in percent. Below each: its {100 * drawn.bootstrap.confidence:g} % interval of "
        f"{drawn.bootstrap.n_resamples} bootstrap resamples of the pictures."
    )


def _samples(runs: Sequence[ReportRun]) -> TaskSection:
    found = runs[0].evaluation.samples
    assert found is not None  # noqa: S101
    slices = [(row.name, row) for row in found.slices if row.n_defective]
    tables = [
        _decisions(runs[0]),
        run_table("Further numbers", runs, "samples", FURTHER),
        _slice_table(slices),
    ]
    plots = [
        draw_bars(
            f"{METRICS[name].label} by true defect",
            [(slice_name, getattr(row, name)) for slice_name, row in slices],
            METRICS[name],
        )
        for name in ("seg_recall", "escape_rate")
    ]
    further = [row_table(runs, "samples", name) for name in ("seg_recall", "escape_rate")]
    return TaskSection(
        "samples",
        "Ship or stop",
        "A defective part that is shipped escapes; a good part that is stopped is over-kill. A "
        "bound is one-sided (Clopper-Pearson): where nothing escaped, an interval sees no spread.",
        [table for table in [*tables, *further] if table.rows],
        [plot for plot in plots if plot.bars],
    )


def _decisions(run: ReportRun) -> Table:
    found = run.evaluation.samples
    assert found is not None  # noqa: S101
    row, percent = found.overall, METRICS["escape_rate"]
    lines = [
        ("Defective", row.n_caught, row.n_escaped, row.escape_rate, row.escape_bound, "escape"),
        ("Good", row.n_false_alarms, row.n_passed, row.overkill_rate, row.overkill_bound, ""),
    ]
    rows = [
        TableRow(
            name,
            [
                Cell(str(stopped), "caught" if kind else "over-kill"),
                Cell(str(shipped), "escaped" if kind else "passed"),
                Cell(percent.text(rate.value), percent.interval(rate)),
                Cell(percent.text(bound)),
            ],
        )
        for name, stopped, shipped, rate, bound, kind in lines
    ]
    confidence = f"at most ({100 * found.bootstrap.confidence:g} %)"
    columns = ["Stopped", "Shipped", "Wrong, %", confidence]
    return Table(f"Decisions of {run.name}", "Truth", columns, rows)


def _slice_table(slices: Sequence[tuple[str, Row]]) -> Table:
    rows = [
        TableRow(
            name,
            [
                Cell(str(getattr(row, "n_defective", ""))),
                *(metric_cell(row, metric) for metric in SLICE_METRICS),
                Cell(METRICS["escape_rate"].text(getattr(row, "escape_bound", math.nan))),
            ],
        )
        for name, row in slices
    ]
    columns = ["Defective", *(METRICS[name].label for name in SLICE_METRICS), "escape at most"]
    note = "By area (pixels) and elongation of the true defect; those without mask lie in no slice."
    return Table("By area and elongation", "Slice", columns, rows, note)


def _boxes(runs: Sequence[ReportRun]) -> TaskSection:
    found = runs[0].evaluation.boxes
    assert found is not None  # noqa: S101
    rows = [
        TableRow(
            row.name.replace(":", " ", 1).removeprefix("class "),
            [Cell(str(row.n_truth)), *(metric_cell(row, name) for name in BOX_METRICS)],
        )
        for row in (found.all, *found.sizes, *found.classes[:SHOWN_CLASSES])
        if row.n_truth
    ]
    columns = ["True boxes", *(METRICS[name].label for name in BOX_METRICS)]
    tables = [
        Table(f"By class and size, {runs[0].name}", "Boxes", columns, rows),
        row_table(runs, "boxes", "map_50"),
    ]
    return TaskSection(
        "boxes",
        "Boxes",
        f"As COCO judges them, over {found.n_pictures} pictures. Sizes: small is up to 32 x 32 "
        "pixels, large from 96 x 96.",
        [table for table in tables if table.rows],
    )


def _classes(runs: Sequence[ReportRun]) -> TaskSection:
    found = runs[0].evaluation.classes
    assert found is not None  # noqa: S101
    names = [row.name for row in found.classes][:SHOWN_CLASSES]
    rows = [
        TableRow(
            row.name,
            [
                Cell(str(row.n_true)),
                Cell(str(row.n_called)),
                *(metric_cell(row, name) for name in ("precision", "recall", "f1")),
            ],
        )
        for row in found.classes[:SHOWN_CLASSES]
    ]
    columns = ["Pictures", "Calls", "Precision", "Recall", "F1"]
    tables = [
        Table(f"By class, {runs[0].name}", "Class", columns, rows),
        row_table(runs, "classes", "f1"),
        _confusion(names, found.confusion.tolist()),
    ]
    note = f"{found.overall.n_pictures} pictures, {found.overall.n_classes} classes in the truth."
    return TaskSection("classes", "Classes", note, [table for table in tables if table.rows])


def _confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Table:
    rows = []
    for name, line in zip(names, counts, strict=False):
        total = max(1, sum(line))
        cells = [Cell(str(n) if n else "", shade=n / total) for n in line[: len(names)]]
        rows.append(TableRow(name, cells))
    note = "Rows are true classes, columns what they are called; tinted by the share of the row."
    return Table("Confusion", "True class", names, rows, note)


def _curves(runs: Sequence[ReportRun]) -> TaskSection:
    plots = [
        chart for curve in runs[0].curves for chart in draw_curve(curve, dict(_lines(runs, curve)))
    ]
    note = "" if len(runs) == 1 else "Runs that have few enough lines are drawn together."
    return TaskSection("curves", "Curves", note, (), plots)


def _lines(runs: Sequence[ReportRun], curve: Curve) -> Iterator[tuple[str, Points]]:
    """All runs' lines where there is room for them, else those of the first."""
    same = [
        (run.name, other.series)
        for run in runs
        for other in run.curves
        if other.name == curve.name and other.series
    ]
    if len(same) < 2 or sum(len(series) for _, series in same) > MAX_LINES:
        yield from curve.series.items()
        return
    for run_name, series in same:
        for name, points in series.items():
            yield f"{run_name}: {name}", points
