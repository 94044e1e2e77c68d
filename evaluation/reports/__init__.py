"""The HTML report of an evaluation: one file, no network, nothing executed."""

from millsight.evaluation.reports.record import (
    PredictedMask,
    ReportContent,
    ReportLimits,
    ReportPicture,
)
from millsight.evaluation.reports.report import render_report, write_report
from millsight.evaluation.reports.run_tables import ReportRun
from millsight.evaluation.reports.task_sections import task_sections

__all__ = [
    "PredictedMask",
    "ReportContent",
    "ReportLimits",
    "ReportPicture",
    "ReportRun",
    "render_report",
    "task_sections",
    "write_report",
]
