"""Generated samples as rows of a table: how they travel from workers and lie on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millsight.generators.samples import Generated, Request, SampleSpec

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field("attempt", pa.int64(), nullable=False),
        pa.field("picture", pa.binary(), nullable=False),
        pa.field("mask", pa.binary(), nullable=False),
        pa.field("boxes", pa.list_(pa.list_(pa.float64(), 4)), nullable=False),
        pa.field("plate", pa.binary()),
        pa.field("requested", pa.binary()),
        pa.field("provenance", pa.string(), nullable=False),
    ],
    metadata={"millsight.schema": "generated", "millsight.schema_version": "1"},
)


def to_row(sample_id: str, generated: Generated) -> dict[str, Any]:
    """Return a row of ``SCHEMA``; pictures and masks are PNG files, and lose nothing."""
    return {
        "sample_id": sample_id,
        "index": generated.request.index,
        "attempt": generated.request.attempt,
        "picture": _png(generated.picture[..., ::-1]),
        "mask": _mask_png(generated.mask),
        "boxes": [list(box) for box in generated.boxes],
        "plate": None if generated.plate is None else _png(generated.plate[..., ::-1]),
        "requested": None if generated.requested is None else _mask_png(generated.requested),
        "provenance": json.dumps(generated.provenance),
    }


def from_row(row: Mapping[str, Any], spec: SampleSpec) -> Generated:
    """Return what ``to_row`` was given, without verdicts."""
    plate, requested = row["plate"], row["requested"]
    return Generated(
        request=Request(spec, row["index"], row["attempt"]),
        picture=_pixels(row["picture"]),
        mask=_pixels(row["mask"])[..., 0] > 0,
        boxes=tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in row["boxes"]),
        plate=None if plate is None else _pixels(plate),
        requested=None if requested is None else _pixels(requested)[..., 0] > 0,
        provenance=json.loads(row["provenance"]),
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    _, stream = cv2.imencode(".png", pixels)
    return stream.tobytes()


def _mask_png(mask: NDArray[np.bool_]) -> bytes:
    return _png(mask.astype(np.uint8) * np.uint8(255))


def _pixels(png: bytes) -> NDArray[np.uint8]:
    decoded = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)
