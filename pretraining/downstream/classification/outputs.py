"""What a classifier's predictions are written as: scores per class and a result table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from millsight.evaluation.results import table as tables
from millsight.evaluation.results.row import PictureResult
from millsight.evaluation.results.truth import from_samples
from millsight.platform import storage
from millsight.platform.artifacts import MARKER, Draft
from millsight.platform.catalog.pictures import open_picture
from millsight.platform.catalog.sample import GOOD, Quarantined, Sample
from millsight.platform.progress import Progress
from millsight.pretraining.downstream.classification.data import squash
from millsight.pretraining.downstream.classification.model import Classifier
from millsight.pretraining.downstream.parts import read_batches

SCORES_FILE = "predictions.csv"


def write_predictions(
    draft: Draft,
    classifier: Classifier,
    samples: Sequence[Sample],
    *,
    size: int,
    batch_size: int,
    device: str,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Predict and write ``predictions.csv`` and ``results.parquet``.

    The CSV is what ``millsight evaluate --scores`` reads. Only the result table holds the truth;
    nothing of it comes back.

    Args:
        draft: Artifact to write into.
        classifier: Is put onto ``device``.
        samples: Which pictures.
        size: Side that they are squashed to, pixels.
        batch_size: Pictures per forward pass.
        device: A torch device.
        progress: Called with pictures done and pictures in all.

    Returns:
        Pictures that cannot be read, with the reason.
    """
    classifier.eval().to(device)
    rows: list[PictureResult] = []
    broken: list[Quarantined] = []

    def read(sample: Sample) -> torch.Tensor:
        return squash(open_picture(sample.uri), size)

    for sound, pictures in read_batches(samples, batch_size, read, broken, progress):
        with torch.inference_mode():
            found = classifier(torch.stack(pictures).to(device)).softmax(1).cpu().tolist()
        for row, scores in zip(from_samples(sound), found, strict=True):
            rows.append(_to_result(row, scores, classifier.classes))
    fingerprint = storage.read_bytes(draft.file(MARKER)).decode()
    storage.write_table(draft.file(tables.FILE), tables.to_table(rows, fingerprint))
    storage.write_bytes(draft.file(SCORES_FILE), _csv(rows, classifier.classes))
    return [asdict(item) for item in broken]


def _to_result(
    row: PictureResult, scores: Sequence[float], classes: Sequence[str]
) -> PictureResult:
    named = dict(zip(classes, scores, strict=True))
    called = max(named, key=named.__getitem__)
    if GOOD not in named:
        return replace(row, predicted_label=called, class_scores=named)
    return replace(
        row,
        predicted_label=called,
        class_scores=named,
        score=1 - named[GOOD],
        decision=called != GOOD,
    )


def _csv(rows: Sequence[PictureResult], classes: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "label", *(f"class:{name}" for name in classes)))
    for row in rows:
        writer.writerow((row.uri, row.predicted_label, *(row.class_scores[c] for c in classes)))
    return text.getvalue().encode()
