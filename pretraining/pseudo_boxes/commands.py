"""``millsight boxes``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.tracking import RunInfo, track
from millsight.pretraining.pseudo_boxes.config import BoxesConfig

if TYPE_CHECKING:
    from millsight.platform.artifacts import Artifact
    from millsight.pretraining.pseudo_boxes.produce import TrueMasks

HEADINGS = ["pictures", "T_c", "tau", "normal", "boxes", "per\npicture"]
IOU_HEADINGS = ["IoU\nat T_c", "IoU\nfixed"]


def boxes(config: BoxesConfig) -> Outcome:
    """Turn anomaly maps into pseudo-defect boxes (COCO), with a report per category.

    Raises:
        UserError: If a setting makes no sense, ``maps`` is no maps artifact, ``data`` has no masks
            of its pictures, or ``output`` holds something else.
    """
    config.build()
    from rich.console import Console

    from millsight.evaluation import anomaly_maps
    from millsight.platform.artifacts import find_artifact, open_artifact
    from millsight.pretraining.pseudo_boxes.produce import (
        boxes_recipe,
        produce_boxes,
        read_report,
    )

    maps = open_artifact(config.maps, kind=anomaly_maps.KIND)
    first = next(anomaly_maps.read_maps(maps), None)
    settings = config.build(with_text=first is not None and first.class_score is not None)
    masks = None if config.data is None else _load_masks(config.data, config.layout)
    recipe = boxes_recipe(maps, settings, masks)
    path = OutputConfig(config.workspace, config.output).path(recipe)
    artifact = find_artifact(path, recipe)
    console = Console()
    if artifact is None:
        info = RunInfo(recipe.kind, recipe.fingerprint, dict(recipe.config))
        with track(config.tracking, info) as tracker:
            artifact = produce_boxes(maps, settings, path, masks)
            tracker.summary(artifact.manifest["metrics"])
    else:
        console.print("done already")
    _print(console, read_report(artifact), artifact)
    return Outcome(artifact=artifact)


def _load_masks(data: str, layout: str) -> TrueMasks:
    from millsight.platform.catalog.catalog import load_data
    from millsight.pretraining.pseudo_boxes.produce import true_masks

    return true_masks(load_data(data, layout))


def _print(console: Any, report: Any, artifact: Artifact) -> None:
    from rich.table import Table

    with_masks = report["mask_iou"]["pictures"] > 0
    table = Table(title="pseudo boxes", title_justify="left", box=None)
    table.add_column("category", no_wrap=True)
    for heading in HEADINGS + IOU_HEADINGS * with_masks:
        table.add_column(heading, justify="right")
    for name, row in report["categories"].items():
        table.add_row(name, *_cells(row), *_iou_cells(row["mask_iou"]) * with_masks)
    if with_masks and len(report["categories"]) > 1:
        blank = [""] * (len(HEADINGS) - 1)
        table.add_row("all", str(report["pictures"]), *blank, *_iou_cells(report["mask_iou"]))
    console.print(table)
    if with_masks:
        console.print(
            f"IoU: mean over {report['mask_iou']['pictures']} pictures with a mask, at T_c, and at "
            "the one threshold for all categories that is best on these very masks"
        )
    for name, row in report["categories"].items():
        _warn_of_large_boxes(console, name, row)
    console.print(f"boxes: {artifact.file('boxes.json')}", soft_wrap=True)


def _warn_of_large_boxes(console: Any, name: str, row: Any) -> None:
    """Say when T_c separates nothing, as with maps that span less than the margin."""
    large = row["area_histogram"][-1]
    if large > row["boxes"] / 2:
        console.print(
            f"[yellow]{name}: {large} of {row['boxes']} boxes take more than a quarter of their "
            f"picture, so T_c = {_number(row['map_threshold'])} is too low for these maps; try a "
            "smaller --margin[/]"
        )


def _cells(row: Any) -> list[str]:
    return [
        str(row["pictures"]),
        _number(row["map_threshold"]),
        _number(row["tau"]),
        f"{row['normal_share']:.1%}",
        str(row["boxes"]),
        f"{row['boxes_per_picture']:.2f}",
    ]


def _iou_cells(iou: Any) -> list[str]:
    return [_number(iou["category_mean"]), _number(iou["fixed_mean"])]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
