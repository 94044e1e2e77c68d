"""Pseudo boxes as a COCO file in which every box can be traced to its map."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.pretraining.pseudo_boxes.boxes import Box

CATEGORY_ID = 1
CATEGORIES = [{"id": CATEGORY_ID, "name": "anomaly", "supercategory": "defect"}]


class CocoWriter:
    """Collects pictures and boxes as encoded lines, about 350 bytes each.

    The format is COCO's detection format with one class, ``anomaly`` (all that a map can tell),
    ids from 1, and pictures without boxes kept as negatives. Beyond COCO's own keys:

    * image: ``sample_id``, ``category`` (the material), ``score`` (S), ``normal`` (gated).
    * annotation: ``score``, ``category`` (the material), ``map_fingerprint`` (of the artifact that
      holds the map, in the row of the image's ``sample_id``).
    * info: ``map_fingerprint``.

    ``bbox`` is (x, y, width, height) in pixels of the upright picture; ``area`` is the anomalous
    region's, not the box's. Equal content gives equal bytes.

    Args:
        map_fingerprint: Of the maps artifact.
    """

    def __init__(self, map_fingerprint: str) -> None:
        self._map_fingerprint = map_fingerprint
        self._info = {
            "description": "millsight pseudo-defect boxes",
            "map_fingerprint": map_fingerprint,
        }
        self._images = _Lines()
        self._annotations = _Lines()

    def add(self, item: AnomalyMap, boxes: Sequence[Box], *, normal: bool) -> None:
        """Append one picture and its boxes.

        Args:
            item: The picture's map.
            boxes: Its boxes; none for a normal picture.
            normal: Whether the picture was gated.
        """
        image_id = self._images.count + 1
        self._images.append(
            {
                "id": image_id,
                "file_name": item.uri,
                "width": item.width,
                "height": item.height,
                "sample_id": item.sample_id,
                "category": item.category,
                "score": item.score,
                "normal": normal,
            }
        )
        for box in boxes:
            self._annotations.append(self._annotation(item, box, image_id))

    def _annotation(self, item: AnomalyMap, box: Box, image_id: int) -> dict[str, Any]:
        return {
            "id": self._annotations.count + 1,
            "image_id": image_id,
            "category_id": CATEGORY_ID,
            "bbox": [box.x, box.y, box.width, box.height],
            "area": box.area,
            "iscrowd": 0,
            "score": box.score,
            "category": item.category,
            "map_fingerprint": self._map_fingerprint,
        }

    def to_bytes(self) -> bytes:
        """Return the whole file, UTF-8 JSON, one picture or box per line."""
        head = f'{{\n"info": {_encode(self._info)},\n"categories": {_encode(CATEGORIES)},\n'
        return b"".join(
            (
                head.encode(),
                b'"images": [',
                self._images.to_bytes(),
                b'],\n"annotations": [',
                self._annotations.to_bytes(),
                b"]\n}\n",
            )
        )


class _Lines:
    """JSON objects of a list, encoded as they come: a dict takes several times the memory."""

    def __init__(self) -> None:
        self.count = 0
        self._buffer = io.BytesIO()

    def append(self, record: Mapping[str, Any]) -> None:
        self._buffer.write((",\n" if self.count else "\n").encode() + _encode(record).encode())
        self.count += 1

    def to_bytes(self) -> bytes:
        return self._buffer.getvalue()


def _encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
