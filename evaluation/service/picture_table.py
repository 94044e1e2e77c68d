"""A run's pictures as its gallery asks for them: one SQLite file in the run's folder."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from millsight.evaluation.results import PictureResult, ResultBox
from millsight.evaluation.results.evaluating import picture_loss, picture_verdict

FILE = "pictures.db"
MAX_BOXES = 100
SCHEMA = """
CREATE TABLE pictures (
    sample_id TEXT PRIMARY KEY,
    worst INTEGER NOT NULL,
    by_score INTEGER NOT NULL,
    verdict TEXT,
    predicted TEXT NOT NULL,
    truth TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX by_worst ON pictures (worst);
CREATE INDEX by_score ON pictures (by_score);
CREATE INDEX by_verdict ON pictures (verdict, worst);
"""


def write(run: Path, rows: Sequence[PictureResult]) -> None:
    """Write the file.

    ``worst`` counts pictures from the worst on, ``by_score`` from the lowest score on; both orders
    are total, so that a page can say where the next begins.

    Args:
        run: The run's folder.
        rows: Its pictures.
    """
    losses = {row.sample_id: picture_loss(row) for row in rows}
    worst = _places(sorted(rows, key=lambda row: (-losses[row.sample_id], row.sample_id)))
    by_score = _places(
        sorted(rows, key=lambda row: (row.score is None, row.score or 0.0, row.sample_id))
    )
    with closing(sqlite3.connect(run / FILE)) as database:
        database.executescript(SCHEMA)
        database.executemany(
            "INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    row.sample_id,
                    worst[row.sample_id],
                    by_score[row.sample_id],
                    picture_verdict(row),
                    json.dumps(_predicted(row)),
                    json.dumps(_truth(row, losses[row.sample_id])),
                )
                for row in rows
            ),
        )
        database.commit()


@contextmanager
def reading(*runs: Path) -> Iterator[sqlite3.Connection]:
    """Open one run's pictures, and a second run's as ``other``."""
    uris = [f"{(run / FILE).absolute().as_uri()}?immutable=1" for run in runs]
    with closing(sqlite3.connect(uris[0], uri=True)) as database:
        database.row_factory = sqlite3.Row
        for uri in uris[1:]:
            database.execute("ATTACH ? AS other", (uri,))
        yield database


def _places(ordered: Sequence[PictureResult]) -> dict[str, int]:
    return {row.sample_id: place for place, row in enumerate(ordered, start=1)}


def _predicted(row: PictureResult) -> dict[str, Any]:
    found = sorted(row.predicted_boxes or (), key=lambda box: -(box.score or 0.0))
    return {
        "score": row.score,
        "decision": row.decision,
        "predicted_label": row.predicted_label,
        "boxes": [_box(box) for box in found[:MAX_BOXES]],
        "has_prediction_mask": row.predicted_mask_uri is not None,
    }


def _truth(row: PictureResult, loss: float) -> dict[str, Any]:
    overlap = None
    if row.tp is not None and row.fp is not None and row.fn is not None:
        union = row.tp + row.fp + row.fn
        overlap = row.tp / union if union else None
    boxes = None if row.true_boxes is None else [_box(box) for box in row.true_boxes]
    return {
        "verdict": picture_verdict(row),
        "loss": loss,
        "label": row.label,
        "defective": row.defective,
        "seg_iou": overlap,
        "has_truth_mask": row.true_mask_uri is not None,
        "true_boxes": boxes,
    }


def _box(box: ResultBox) -> dict[str, Any]:
    kept = ("x0", "y0", "x1", "y1", "label", "score")
    return {name: value for name, value in asdict(box).items() if name in kept}
