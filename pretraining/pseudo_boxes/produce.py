"""From a maps artifact to a pseudo_boxes artifact, one map in memory at a time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from millsight.evaluation.anomaly_maps import AnomalyMap, read_maps
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.catalog.pictures import PictureError, open_mask
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input, Recipe
from millsight.pretraining.pseudo_boxes.boxes import find_boxes
from millsight.pretraining.pseudo_boxes.coco import CocoWriter
from millsight.pretraining.pseudo_boxes.config import BoxSettings
from millsight.pretraining.pseudo_boxes.mask_iou import MaskIouSweep
from millsight.pretraining.pseudo_boxes.report import BoxCounter, BoxReport
from millsight.pretraining.pseudo_boxes.thresholds import (
    CategoryThresholds,
    category_thresholds,
    overall_range,
)

if TYPE_CHECKING:
    from millsight.platform.catalog.catalog import Catalog

KIND = "pseudo_boxes"
SCHEMA_VERSION = 1
BOXES_FILE = "boxes.json"
REPORT_FILE = "report.json"


@dataclass(frozen=True)
class TrueMasks:
    """Where the true masks lie.

    Attributes:
        uris: By sample id.
        source: The catalog that says so.
    """

    uris: Mapping[str, str]
    source: Input


def true_masks(catalog: Catalog) -> TrueMasks:
    """Collect a catalog's masks.

    Raises:
        UserError: If it knows no mask at all.
    """
    uris = {item.id: item.mask_uri for item in catalog if item.mask_uri is not None}
    if not uris:
        raise UserError(f"--data {catalog.uri} has no masks to compare with; leave --data out.")
    return TrueMasks(uris, catalog.as_input())


def boxes_recipe(maps: Artifact, settings: BoxSettings, masks: TrueMasks | None) -> Recipe:
    """Name all that decides the boxes and their report."""
    inputs = {"maps": maps.as_input()}
    if masks is not None:
        inputs["data"] = masks.source
    return Recipe(KIND, SCHEMA_VERSION, dataclasses.asdict(settings), inputs)


def produce_boxes(
    maps: Artifact, settings: BoxSettings, path: str, masks: TrueMasks | None = None
) -> Artifact:
    """Write the boxes of all maps and their report as an artifact.

    The maps are read twice: for the thresholds, then for the boxes.

    Args:
        maps: Of kind ``maps``.
        settings: What decides the boxes.
        path: The artifact's directory; it must not exist.
        masks: True masks to compare the binarised maps with.

    Returns:
        Artifact of kind ``pseudo_boxes``: ``boxes.json`` (COCO) and ``report.json``.

    Raises:
        UserError: If none of the masks belongs to one of the maps.
    """
    with drafting(path, boxes_recipe(maps, settings, masks)) as draft:
        thresholds = category_thresholds(read_maps(maps), settings)
        if not thresholds:
            raise UserError(f"--maps {maps.path} holds no maps: all its pictures were set aside.")
        coco, report = _find_all(maps, settings, thresholds, masks)
        storage.write_bytes(draft.file(BOXES_FILE), coco.to_bytes())
        text = json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n"
        storage.write_bytes(draft.file(REPORT_FILE), text.encode())
        return draft.commit({"pictures": report.pictures, "boxes": report.boxes})


def read_report(artifact: Artifact) -> Mapping[str, object]:
    """Read ``report.json`` of a ``pseudo_boxes`` artifact: ``BoxReport.to_json``.

    Raises:
        UserError: If it is missing or damaged.
    """
    address = artifact.file(REPORT_FILE)
    try:
        report: Mapping[str, object] = json.loads(storage.read_bytes(address))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{address} cannot be read ({error}); make the boxes again with `millsight boxes`."
        ) from None
    return report


def _find_all(
    maps: Artifact,
    settings: BoxSettings,
    thresholds: Mapping[str, CategoryThresholds],
    masks: TrueMasks | None,
) -> tuple[CocoWriter, BoxReport]:
    coco = CocoWriter(maps.fingerprint)
    counter = BoxCounter(thresholds, settings.max_boxes)
    sweep = MaskIouSweep(*overall_range(thresholds))
    total, console = maps.manifest["metrics"].get("pictures"), Console(stderr=True)
    for item in track(read_maps(maps), "Boxes", total, console=console):
        limits = thresholds[item.category]
        normal = limits.is_normal(item.score)
        found = [] if normal else find_boxes(item.upsample(), limits.map_threshold, settings)
        coco.add(item, found, normal=normal)
        counter.add(item, found, normal=normal)
        if masks is not None and item.sample_id in masks.uris:
            _compare(sweep, item, masks.uris[item.sample_id], limits.map_threshold)
    report = counter.report(*sweep.results())
    if masks is not None and not report.mask_iou.pictures:
        raise UserError(
            f"--data {masks.source.uri} has no mask with a defect for any picture of "
            f"{maps.path}; name the folder that the maps were made from, or leave --data out."
        )
    return coco, report


def _compare(sweep: MaskIouSweep, item: AnomalyMap, mask_uri: str, threshold: float) -> None:
    try:
        mask = open_mask(mask_uri, (item.width, item.height))
    except PictureError as error:
        raise UserError(
            f"--data: mask {mask_uri}: {error}. Mend it, or leave --data out."
        ) from None
    sweep.add(item.category, item.upsample(), mask, threshold)
