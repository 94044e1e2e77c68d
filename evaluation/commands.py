"""``millsight evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.tracking import RunInfo, TrackingConfig, track

KIND = "evaluation"
SCHEMA_VERSION = 1
HEADLINE = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
}


@dataclass(kw_only=True)
class EvaluateConfig(OutputConfig):
    """Settings of ``millsight evaluate``.

    Attributes:
        maps: Artifact of ``millsight extract``.
        data: Folder or catalog with labels and masks; by default what the maps were made from.
        layout: Of ``data``; ``auto`` looks at the folder.
        boxes: Artifact of ``millsight boxes``, drawn into the pictures.
        resamples: Of the bootstrap over pictures; 0 leaves the intervals out.
        tracking: Who is told.
    """

    maps: str
    data: str | None = None
    layout: str = "auto"
    boxes: str | None = None
    resamples: int = 1000
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


def evaluate(config: EvaluateConfig) -> Outcome:
    """Judge anomaly maps against labels and masks: metrics with intervals, and an HTML report."""
    from millsight.evaluation import map_report
    from millsight.platform.artifacts import drafting, find_artifact
    from millsight.platform.fingerprints import Recipe

    sources = map_report.open_sources(config.maps, config.data, config.layout, config.boxes)
    recipe = Recipe(KIND, SCHEMA_VERSION, {"resamples": config.resamples}, sources.inputs())
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
            evaluation = map_report.judge(sources, config.resamples)
            metrics = map_report.headline(evaluation)
            tracker.summary(metrics)
            map_report.write(draft, sources, evaluation)
            artifact = draft.commit(metrics)
    rows = map_report.read_rows(artifact)
    if any(row["n_pictures"] for row in rows):
        _print(rows)
    else:
        print("No picture is labelled: the report shows the most and the least anomalous ones.")
    print(f"report: {artifact.file(map_report.REPORT_FILE)}")
    return Outcome(artifact=artifact)


def _print(rows: list[dict[str, Any]]) -> None:
    """Print one line per category, in 80 columns; the report has every metric."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("category")
    for heading in ("defective", *HEADLINE.values()):
        table.add_column(heading, justify="right")
    for row in rows:
        counts = f"{row['n_defective']} of {row['n_pictures']}"
        table.add_row(str(row["category"]), counts, *(_cell(row[name]) for name in HEADLINE))
    Console().print(table)


def _cell(estimate: dict[str, Any]) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None else f"{value:.3f} {low:.2f}-{high:.2f}"
