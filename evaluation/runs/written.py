"""The files of an evaluation: numbers, the result table and the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from millsight.evaluation.metrics.results import METRICS
from millsight.evaluation.reports import ReportContent, write_report
from millsight.evaluation.results.evaluating import ResultEvaluation
from millsight.evaluation.results.table import FILE as RESULTS_FILE
from millsight.evaluation.results.table import write_table
from millsight.evaluation.runs.judged import JudgedRun
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, Draft

REPORT_FILE = "report.html"
METRICS_FILE = "metrics.json"


def write(draft: Draft, runs: Sequence[JudgedRun], content: ReportContent) -> None:
    """Write ``results.parquet`` of the first run, ``metrics.json`` and ``report.html``."""
    write_table(draft.file(RESULTS_FILE), runs[0].table)
    text = json.dumps(metrics(runs), indent=2, allow_nan=False) + "\n"
    storage.write_bytes(draft.file(METRICS_FILE), text.encode())
    write_report(draft.file(REPORT_FILE), content)


def metrics(runs: Sequence[JudgedRun]) -> dict[str, Any]:
    """Return the content of ``metrics.json``.

    ``run`` names the first run; ``tasks`` are its numbers; ``headline`` the few that people look
    at; ``curves`` its curves; ``others`` has, for each further run, ``tasks``, ``headline`` and
    ``differences`` (that run minus the first, by task, row and metric).
    """
    first, *others = runs
    return {
        "run": first.name,
        **_numbers(first),
        "curves": [curve.to_dict() for curve in first.curves],
        "others": [
            {"run": run.name, **_numbers(run), "differences": _plain(run.differences)}
            for run in others
        ],
    }


def headline(evaluation: ResultEvaluation) -> dict[str, float]:
    """Return the numbers for the artifact's manifest; undefined ones are left out."""
    values = {name: number.value for name, number in evaluation.headline().items()}
    if evaluation.maps is not None:
        values |= {name: getattr(evaluation.maps.mean, name).value for name in METRICS}
    return {name: value for name, value in values.items() if not np.isnan(value)}


def read_metrics(artifact: Artifact) -> dict[str, Any]:
    """Read an evaluation's ``metrics.json``."""
    found: dict[str, Any] = json.loads(storage.read_bytes(artifact.file(METRICS_FILE)))
    return found


def _numbers(run: JudgedRun) -> dict[str, Any]:
    return {
        "tasks": run.evaluation.to_dict(),
        "headline": {name: value.to_dict() for name, value in run.evaluation.headline().items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.to_dict()
