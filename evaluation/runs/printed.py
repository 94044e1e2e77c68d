"""The numbers of an evaluation on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from millsight.evaluation.reports.wording import METRICS
from millsight.evaluation.results.evaluating import HEADLINE, MAIN_ROW
from millsight.evaluation.runs.written import REPORT_FILE, read_metrics
from millsight.platform.artifacts import Artifact

MAP_COLUMNS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}

Numbers = Mapping[str, Any]


def print_artifact(artifact: Artifact) -> None:
    """Print an evaluation's numbers in 80 columns, and where its report is."""
    found = read_metrics(artifact)
    console = Console()
    rows, compared = map_rows(found), bool(found["others"])
    if rows and not compared and any(name in found["headline"] for name in HEADLINE["maps"]):
        console.print(_map_table(rows))
    tasks = [task for task in HEADLINE if compared or task != "maps"]
    table = _headline_table(found, tasks)
    if table.row_count:
        console.print(table)
    if not found["headline"]:
        print("No numbers: they take labelled pictures, good and defective. The report shows more.")
    print(f"report: {artifact.file(REPORT_FILE)}")


def map_rows(found: Numbers) -> list[dict[str, Any]]:
    """Return a row per category, the mean last where there are several."""
    maps = found["tasks"].get("maps")
    if maps is None:
        return []
    rows: list[dict[str, Any]] = maps["categories"]
    return rows if len(rows) == 1 else [*rows, maps["mean"]]


def _map_table(rows: Sequence[Numbers]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("category")
    for heading in ("defective", *MAP_COLUMNS.values()):
        table.add_column(heading, justify="right")
    for row in rows:
        counts = f"{row['n_defective']} of {row['n_pictures']}"
        table.add_row(str(row["category"]), counts, *(_cell(row[name]) for name in MAP_COLUMNS))
    return table


def _headline_table(found: Numbers, tasks: Sequence[str]) -> Table:
    """One line per number and one column per run; beside a further run's, how it differs."""
    runs = [found, *found["others"]]
    table = Table(box=None, header_style="bold")
    table.add_column("")
    for run in runs:
        table.add_column(str(run["run"]), justify="right", overflow="fold")
    for task in tasks:
        for name in HEADLINE[task]:
            if any(name in run["headline"] for run in runs):
                table.add_row(METRICS[name].label, *(_run_cell(run, task, name) for run in runs))
    return table


def _run_cell(run: Numbers, task: str, name: str) -> str:
    number = run["headline"].get(name)
    if number is None:
        return "-"
    text = _cell(number)
    row = run.get("differences", {}).get(task, {}).get(MAIN_ROW[task], {})
    gap = row.get(name)
    if gap is None or gap["value"] is None:
        return text
    sure = gap["low"] is not None and (gap["low"] > 0 or gap["high"] < 0)
    return f"{text} ({gap['value']:+.3f}{'*' if sure else ''})"


def _cell(estimate: Numbers) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None else f"{value:.3f} {low:.2f}-{high:.2f}"
