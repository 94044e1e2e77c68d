"""Anomaly maps joined with what is known about their pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.anomaly_maps import KIND, AnomalyMap, read_maps
from millsight.evaluation.metrics import BootstrapConfig, MapEvaluation, evaluate_maps
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, open_artifact
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.pictures import PictureError, open_mask
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input
from millsight.platform.runs import read_quarantine

BOXES_FILE = "boxes.json"

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class MapSources:
    """What the judgement of maps is made from.

    Attributes:
        maps: The ``maps`` artifact.
        catalog: Labels and masks.
        boxes: The ``pseudo_boxes`` artifact, or ``None``.
        pairs: Every map with its picture's sample.
    """

    maps: Artifact
    catalog: Catalog
    boxes: Artifact | None
    pairs: Sequence[tuple[AnomalyMap, Sample]]

    def inputs(self) -> dict[str, Input]:
        """Name the sources as an artifact's inputs."""
        named = {"maps": self.maps.as_input(), "data": self.catalog.as_input()}
        return named if self.boxes is None else named | {"boxes": self.boxes.as_input()}

    def quarantined(self) -> list[tuple[str, str]]:
        """Address and reason of every picture that was set aside."""
        return [(item.uri, item.reason) for item in read_quarantine(self.maps)]


def open_maps(
    maps: str,
    data: str | None,
    layout: str,
    boxes: str | None,
    *,
    split: str | None = None,
    category: str | None = None,
) -> MapSources:
    """Open the artifacts and join maps with samples by content id.

    Raises:
        UserError: If an artifact is missing or empty, ``data`` lacks pictures that have maps, or
            none of them is in the split and category.
    """
    artifact = open_artifact(maps, kind=KIND)
    address = data or str(artifact.manifest["inputs"]["data"]["uri"])
    catalog = load_data(address, layout)
    known = {sample.id: sample for sample in catalog.samples}
    # Files of equal bytes share an id and may be labelled apart: the address decides where it can.
    placed = {(sample.id, sample.uri): sample for sample in catalog.samples}
    found = list(read_maps(artifact))
    if not found:
        raise UserError(f"--maps {maps} holds no map: all its pictures were quarantined.")
    missing = [item.uri for item in found if item.sample_id not in known]
    if missing:
        raise UserError(
            f"--data {address}: {len(missing)} pictures that have maps are not in it, such as "
            f"{missing[0]}. Name the folder or catalog that the maps were extracted from."
        )
    drawn = None if boxes is None else open_artifact(boxes, kind="pseudo_boxes")
    pairs = [
        (item, placed.get((item.sample_id, item.uri), known[item.sample_id])) for item in found
    ]
    return MapSources(artifact, catalog, drawn, _chosen(pairs, split, category))


def judge_exactly(sources: MapSources, bootstrap: BootstrapConfig) -> MapEvaluation:
    """Compute every metric from every pixel, per category and in the mean."""
    maps, samples = zip(*sources.pairs, strict=True)
    return evaluate_maps(
        [item.score for item in maps],
        [sample.defective for sample in samples],
        [item.grid for item in maps],
        [_mask(item, sample) for item, sample in sources.pairs],
        categories=[item.category for item in maps],
        sizes=[(item.height, item.width) for item in maps],
        bootstrap=bootstrap,
    )


def map_facts(sources: MapSources) -> dict[str, object]:
    """Say which weights, prompts, pictures and versions made the maps."""
    manifest = sources.maps.manifest
    config: Mapping[str, Any] = manifest["config"]
    return {
        "data": sources.catalog.uri,
        "encoder": config["kead"]["encoder"],
        "weights": manifest["weights"]["encoder"],
        "settings": {key: value for key, value in config["kead"].items() if key != "encoder"},
        "normal pictures": {
            name: f"{len(learnt['normals'])} pictures"
            for name, learnt in config["categories"].items()
        },
        "maps": f"{sources.maps.path} ({sources.maps.fingerprint[:12]})",
        "boxes": "none" if sources.boxes is None else sources.boxes.path,
        "versions": manifest["versions"],
    }


def boxes_by_picture(artifact: Artifact | None) -> dict[str, list[Box]]:
    """Read COCO boxes as xyxy pixels by sample id."""
    if artifact is None:
        return {}
    found = json.loads(storage.read_bytes(artifact.file(BOXES_FILE)))
    samples = {image["id"]: image["sample_id"] for image in found["images"]}
    boxes: dict[str, list[Box]] = {}
    for annotation in found["annotations"]:
        left, top, width, height = annotation["bbox"]
        place = boxes.setdefault(samples[annotation["image_id"]], [])
        place.append((left, top, left + width, top + height))
    return boxes


def _chosen(
    pairs: Sequence[tuple[AnomalyMap, Sample]], split: str | None, category: str | None
) -> list[tuple[AnomalyMap, Sample]]:
    kept = [
        (item, sample)
        for item, sample in pairs
        if split in (None, sample.split) and category in (None, sample.category)
    ]
    if not kept:
        flags = {"--split": split, "--category": category}
        asked = " ".join(f"{flag} {value}" for flag, value in flags.items() if value is not None)
        splits = sorted({str(sample.split) for _, sample in pairs})
        categories = sorted({sample.category for _, sample in pairs})
        raise UserError(
            f"{asked}: no picture that has a map is there; those that have are in the splits "
            f"{', '.join(splits)} and the categories {', '.join(categories)}."
        )
    return kept


def _mask(item: AnomalyMap, sample: Sample) -> NDArray[np.bool_] | None:
    if sample.mask_uri is None:
        return None
    try:
        return open_mask(sample.mask_uri, (item.width, item.height))
    except PictureError as error:
        raise UserError(f"mask {sample.mask_uri}: {error}; mend or remove it.") from None
