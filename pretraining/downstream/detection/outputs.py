"""What a finetuned detector's predictions are written as: COCO results and a result table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from millsight.evaluation.results import table as tables
from millsight.evaluation.results.row import PictureResult, ResultBox
from millsight.evaluation.results.truth import from_samples
from millsight.platform import storage
from millsight.platform.artifacts import MARKER, Draft
from millsight.platform.catalog.pictures import open_picture
from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.progress import Progress
from millsight.pretraining.detector.interface import Detections, Detector
from millsight.pretraining.detector.module import detect
from millsight.pretraining.downstream.parts import read_batches

PREDICTIONS_FILE = "predictions.json"


def write_predictions(
    draft: Draft,
    detector: Detector,
    samples: Sequence[Sample],
    classes: Sequence[str],
    *,
    batch_size: int,
    device: str,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Predict and write ``predictions.json`` and ``results.parquet``.

    ``predictions.json`` is a COCO results file: ``image_id`` is the sample's id, ``category_id``
    the class's name. Only the result table holds the truth, for ``millsight evaluate``; nothing of
    it comes back.

    Args:
        draft: Artifact to write into.
        detector: Is put onto ``device``.
        samples: Which pictures.
        classes: Names, by label.
        batch_size: Pictures per forward pass.
        device: A torch device.
        progress: Called with pictures done and pictures in all.

    Returns:
        Pictures that cannot be read, with the reason.
    """
    detector.eval().to(device)
    rows: list[PictureResult] = []
    broken: list[Quarantined] = []
    for sound, pictures in read_batches(samples, batch_size, _read, broken, progress):
        found = detect(detector, pictures, device)
        for row, one in zip(from_samples(sound), found, strict=True):
            rows.append(_to_result(row, one, classes))
    fingerprint = storage.read_bytes(draft.file(MARKER)).decode()
    storage.write_table(draft.file(tables.FILE), tables.to_table(rows, fingerprint))
    text = json.dumps(list(_coco(rows)), indent=0)
    storage.write_bytes(draft.file(PREDICTIONS_FILE), text.encode())
    return [asdict(item) for item in broken]


def _read(sample: Sample) -> Tensor:
    return torch.from_numpy(open_picture(sample.uri)).permute(2, 0, 1).float() / 255


def _to_result(row: PictureResult, found: Detections, classes: Sequence[str]) -> PictureResult:
    boxes = tuple(
        ResultBox(x0, y0, x1, y1, classes[label], score)
        for (x0, y0, x1, y1), label, score in zip(
            *(tensor.tolist() for tensor in found), strict=True
        )
    )
    best = max((box.score or 0.0 for box in boxes), default=0.0)
    return replace(row, predicted_boxes=boxes, score=best)


def _coco(rows: Sequence[PictureResult]) -> Iterator[dict[str, Any]]:
    for row in rows:
        for box in row.predicted_boxes or ():
            yield {
                "image_id": row.sample_id,
                "category_id": box.label,
                "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
                "score": box.score,
            }
