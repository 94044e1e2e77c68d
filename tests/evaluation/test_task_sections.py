"""The report's numbers: runs side by side, differences marked, nothing undefined shown as zero."""

from __future__ import annotations

import html
import re

from millsight.evaluation.metrics import BootstrapConfig
from millsight.evaluation.reports import (
    ReportContent,
    ReportLimits,
    ReportRun,
    render_report,
    task_sections,
)
from millsight.evaluation.reports.charts import draw_curve
from millsight.evaluation.results import PictureResult, to_table
from millsight.evaluation.results.curves import Curve
from millsight.evaluation.results.evaluating import (
    compare_results,
    evaluate_results,
    result_curves,
)

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>']


def sample_run(name, decisions, differences=None):
    """A run over six pictures, three of them defective, called as stated."""
    rows = [
        PictureResult(
            str(number),
            f"{number}.png",
            "steel",
            width=9,
            height=9,
            defective=number < 3,
            defect_area=9 if number < 3 else 0,
            defect_elongation=1.0 if number < 3 else None,
            decision=bool(called),
            score=number / 10,
        )
        for number, called in enumerate(decisions)
    ]
    table = to_table(rows, name)
    found = evaluate_results(table, bootstrap=BootstrapConfig(n_resamples=200))
    return ReportRun(name, found, result_curves(table), differences)


def render_page(runs):
    content = ReportContent("Steel", {}, [], sections=task_sections(runs))
    return render_report(content, ReportLimits())


def test_runs_stand_side_by_side_and_sure_differences_are_marked():
    first = sample_run(HOSTILE[0], (1, 1, 1, 1, 1, 1))
    second = sample_run(HOSTILE[1], (0, 0, 0, 0, 0, 0))
    gaps = compare_results(second.evaluation, first.evaluation)
    second = ReportRun(second.name, second.evaluation, second.curves, gaps)
    page = render_page([first, second])
    text = html.unescape(page)
    assert HOSTILE[0] in text
    assert "<script" not in page
    # Escapes rise from none to all, over-kill falls from all to none.
    assert re.search(r'gap worse">\+100.0 \(100.0 to 100.0\)', page)
    assert re.search(r'gap better">-100.0 \(-100.0 to -100.0\)', page)
    assert "area &lt; 1024" in page
    # No escape among three defective parts still allows 63 %.
    assert "63.2" in text
    links = set(re.findall(r'href="#([a-z]+)"', page))
    assert {"headline", "samples", "curves"} <= links


def test_undefined_numbers_are_left_out_not_zero():
    run = sample_run("a", (1, 1, 1, 1, 1, 1))
    titles = {table.title: table for part in task_sections([run]) for table in part.tables}
    shown = {row.name for row in titles[""].rows}
    assert "Escape rate" in shown
    assert not {"Seg_mIoU", "Cost per part"} & shown
    assert all("nan" not in cell.text for row in titles[""].rows for cell in row.cells)


def test_many_lines_are_spread_over_charts():
    points = ([0.0, 1.0], [0.0, 1.0])
    curve = Curve("roc", "ROC", "x", "y", {str(at): points for at in range(19)})
    charts = list(draw_curve(curve, curve.series))
    assert [len(chart.lines) for chart in charts] == [6, 7, 6]
    assert charts[0].lines[0].path == "M0,240 320,0"
