"""The HTML report of anomaly maps: one file, no network, nothing executed."""

from millsight.evaluation.reports.record import ReportContent, ReportLimits, ReportPicture
from millsight.evaluation.reports.report import render_report, write_report

__all__ = ["ReportContent", "ReportLimits", "ReportPicture", "render_report", "write_report"]
