"""A result table as a folder that FiftyOne loads.

The folder holds ``metadata.json`` and ``samples.json`` in FiftyOne's ``FiftyOneDataset`` format
without a version, which every release reads and brings up to date. Pictures stay where they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millsight.evaluation.results.row import PictureResult, ResultBox
from millsight.platform import storage

PLAIN = (
    *("category", "synthetic", "defective", "defect_area", "defect_elongation"),
    *("score", "decision", "tp", "fp", "fn", "predicted_area"),
)


def write_fiftyone(folder: str | Path, results: Sequence[PictureResult], run: str) -> None:
    """Write the folder; load it with ``fiftyone.Dataset.from_dir``.

    Fields: ``ground_truth`` and ``predictions`` (detections), ``ground_truth_label`` and
    ``predicted_label`` (classifications), ``ground_truth_mask`` and ``predicted_mask``
    (segmentations), the plain columns of the table, the split as a tag, and the tags ``escape``
    and ``overkill`` on wrong decisions.

    Args:
        folder: Local folder.
        results: Rows whose pictures lie on this machine.
        run: Kept as the dataset's information.
    """
    metadata = {"name": run, "media_type": "image", "info": {"run": run}}
    samples = {"samples": [_sample(row) for row in results]}
    for name, content in (("metadata.json", metadata), ("samples.json", samples)):
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        storage.write_bytes(f"{str(folder).rstrip('/')}/{name}", text.encode())


def _sample(row: PictureResult) -> dict[str, Any]:
    fields = {
        # FiftyOne's own patch views have a field called sample_id.
        "millsight_id": row.sample_id,
        **{name: getattr(row, name) for name in PLAIN},
        "ground_truth": _detections(row.true_boxes, row),
        "predictions": _detections(row.predicted_boxes, row),
        "ground_truth_label": _classification(row.label, None),
        "predicted_label": _classification(
            row.predicted_label, row.class_scores.get(row.predicted_label or "")
        ),
        "ground_truth_mask": _segmentation(row.true_mask_uri),
        "predicted_mask": _segmentation(row.predicted_mask_uri),
    }
    return {
        # FiftyOne joins relative paths to the dataset's folder.
        "filepath": _local(row.uri),
        "tags": _tags(row),
        "metadata": {"_cls": "ImageMetadata", "width": row.width, "height": row.height},
        **{name: value for name, value in fields.items() if value is not None},
    }


def _tags(row: PictureResult) -> list[str]:
    tags = [] if row.split is None else [row.split]
    if row.defective and row.decision is False:
        tags.append("escape")
    if row.defective is False and row.decision:
        tags.append("overkill")
    return tags


def _detections(boxes: Sequence[ResultBox] | None, row: PictureResult) -> dict[str, Any] | None:
    if boxes is None:
        return None
    return {"_cls": "Detections", "detections": [_detection(box, row) for box in boxes]}


def _detection(box: ResultBox, row: PictureResult) -> dict[str, Any]:
    left, top = box.x0 / row.width, box.y0 / row.height
    size = ((box.x1 - box.x0) / row.width, (box.y1 - box.y0) / row.height)
    found = {
        "_cls": "Detection",
        "tags": [],
        "attributes": {},
        "label": box.label or "defect",
        "bounding_box": [left, top, *size],
    }
    return found if box.score is None else found | {"confidence": box.score}


def _classification(label: str | None, confidence: float | None) -> dict[str, Any] | None:
    if label is None:
        return None
    found = {"_cls": "Classification", "tags": [], "label": label}
    return found if confidence is None else found | {"confidence": confidence}


def _segmentation(uri: str | None) -> dict[str, Any] | None:
    return None if uri is None else {"_cls": "Segmentation", "tags": [], "mask_path": _local(uri)}


def _local(uri: str) -> str:
    fs, path = storage.filesystem(uri)
    return str(Path(path).resolve()) if storage.is_local(fs) else uri
