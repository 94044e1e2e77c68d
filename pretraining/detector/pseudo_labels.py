"""Pseudo boxes as training data, checked: they come from a file that anybody may have edited."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from millsight.platform import storage
from millsight.platform.artifacts import Artifact, open_artifact
from millsight.platform.catalog.pictures import require_pictures
from millsight.platform.errors import UserError
from millsight.pretraining.detector.pictures import BoxedPicture
from millsight.pretraining.pseudo_boxes import produce


def open_boxes(paths: Sequence[str]) -> list[Artifact]:
    """Open artifacts of ``millsight boxes``.

    Raises:
        UserError: If one is missing or of another kind.
    """
    return [open_artifact(path, kind=produce.KIND) for path in paths]


def read_boxes(artifact: Artifact) -> list[BoxedPicture]:
    """Read an artifact's pictures with their boxes, all of one class; normal pictures have none.

    Raises:
        UserError: If the file is damaged or empty, a box lies outside of its picture, or a material
            has not one box, from which a detector would learn that nothing is a defect there.
    """
    address = artifact.file(produce.BOXES_FILE)
    try:
        content = json.loads(storage.read_bytes(address))
        boxes: dict[int, list[list[float]]] = {int(i["id"]): [] for i in content["images"]}
        sizes = {int(i["id"]): (float(i["width"]), float(i["height"])) for i in content["images"]}
        for item in content["annotations"]:
            boxes[int(item["image_id"])].append(_box(item["bbox"], sizes[int(item["image_id"])]))
        pictures = [_picture(image, boxes[int(image["id"])]) for image in content["images"]]
        materials = [str(image["category"]) for image in content["images"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else error
        raise UserError(
            f"{address} is not a box file of `millsight boxes` ({reason}); make it again. Boxes "
            "that people drew belong to --exact."
        ) from None
    if not pictures:
        raise UserError(f"--boxes {artifact.path}: there is not one picture in it.")
    for material in sorted(set(materials)):
        of_material = [p for p, m in zip(pictures, materials, strict=True) if m == material]
        if not any(len(picture.boxes) for picture in of_material):
            raise UserError(
                f"--boxes {artifact.path}: none of the {len(of_material)} pictures of {material} "
                "has a box; make the boxes with a lower --tau or a larger --margin."
            )
    uris = [picture.uri for picture in pictures]
    require_pictures(uris, f"--boxes {artifact.path}", "make maps and boxes again")
    return pictures


def _box(values: Any, size: tuple[float, float]) -> list[float]:
    x, y, width, height = (float(value) for value in values)
    box = [x, y, x + width, y + height]
    inside = 0 <= x < x + width <= size[0] + 1 and 0 <= y < y + height <= size[1] + 1
    if not inside:
        raise ValueError(f"box {values} in a picture of {size[0]:.0f} x {size[1]:.0f}")
    return box


def _picture(image: Any, boxes: list[list[float]]) -> BoxedPicture:
    return BoxedPicture(
        str(image["file_name"]),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros(len(boxes), np.int64),
        str(image["sample_id"]),
    )
