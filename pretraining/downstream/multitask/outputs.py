"""What a trained network's predictions are written as: masks, scores, a result table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millsight.evaluation.metrics.masks import count_masks
from millsight.evaluation.results import table as tables
from millsight.evaluation.results.row import PictureResult
from millsight.evaluation.results.truth import from_samples, true_mask
from millsight.platform import storage
from millsight.platform.artifacts import MARKER, Draft
from millsight.platform.progress import Progress
from millsight.pretraining.downstream.multitask.predict import Prediction, encode_mask
from millsight.pretraining.downstream.multitask.threshold import Thresholds

PREDICTIONS_FILE = "predictions.parquet"
SCORES_FILE = "predictions.csv"

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("decision", pa.bool_(), nullable=False),
        pa.field("mask", pa.string(), nullable=False),
    ],
    metadata={"millsight.schema": "mask_predictions", "millsight.schema_version": "1"},
)


def write_predictions(
    draft: Draft,
    predictions: Iterator[Prediction],
    total: int,
    thresholds: Thresholds,
    progress: Progress,
) -> int:
    """Write the masks, ``predictions.csv``, ``predictions.parquet`` and ``results.parquet``.

    Only the result table holds the truth, with each picture's pixel counts, for
    ``millsight evaluate``; nothing of it comes back.

    Returns:
        How many pictures are called defective.
    """
    home = draft.path.removesuffix(".partial")
    results: list[PictureResult] = []
    for found in predictions:
        mask, name = found.mask(thresholds.pixel), _mask_name(found.sample.id)
        storage.write_bytes(draft.file(name), encode_mask(mask))
        results.append(_to_result(found, mask, thresholds.sample, f"{home}/{name}"))
        progress(len(results), total)
    storage.write_bytes(draft.file(SCORES_FILE), _csv(results))
    storage.write_table(draft.file(PREDICTIONS_FILE), _table(results))
    tables.write_table(draft.file(tables.FILE), tables.to_table(results, _fingerprint(draft)))
    return sum(bool(row.decision) for row in results)


def _to_result(
    found: Prediction, mask: NDArray[np.bool_], threshold: float, mask_uri: str
) -> PictureResult:
    (row,) = from_samples([found.sample])
    predicted = replace(
        row,
        score=found.score,
        decision=found.score >= threshold,
        predicted_area=int(mask.sum()),
        predicted_mask_uri=mask_uri,
    )
    truth = true_mask(row)
    if truth is None:
        return predicted
    tp, fp, fn = (int(count) for count in count_masks(mask, truth))
    return replace(predicted, tp=tp, fp=fp, fn=fn)


def _fingerprint(draft: Draft) -> str:
    return storage.read_bytes(draft.file(MARKER)).decode()


def _mask_name(sample_id: str) -> str:
    return f"masks/{sample_id}.png"


def _table(results: Sequence[PictureResult]) -> pa.Table:
    names = [name for name in SCHEMA.names if name != "mask"]
    rows = [
        {name: getattr(row, name) for name in names} | {"mask": _mask_name(row.sample_id)}
        for row in results
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _csv(results: Sequence[PictureResult]) -> bytes:
    """Return what ``evaluation.results`` and most other tools import, beside the masks."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "score", "decision"))
    writer.writerows((row.uri, row.score, int(bool(row.decision))) for row in results)
    return text.getvalue().encode()
