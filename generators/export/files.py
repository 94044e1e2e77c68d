"""What every layout shares: names, picture files, and one line of provenance per sample."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millsight.generators.samples import Generated, Mode
from millsight.platform import storage
from millsight.platform.catalog.layouts.tree import canonical, class_folder
from millsight.platform.catalog.sample import GOOD
from millsight.platform.catalog.synthetic import (
    COMPOSED,
    EDITED,
    GENERATED,
    RENDERED,
    mark_png,
)
from millsight.platform.errors import UserError

PROVENANCE = "provenance.jsonl"
NAME_DIGITS = 12
FORBIDDEN = frozenset('/\\:*?"<>|')
LONGEST_LABEL = 64
SOURCES: Mapping[Mode, str] = {
    "procedural": RENDERED,
    "copy_paste": COMPOSED,
    "variation": EDITED,
    "inpaint": EDITED,
    "text": GENERATED,
}


@dataclass(frozen=True)
class Written:
    """Where one sample's files lie, relative to the set.

    Attributes:
        name: Stem of all of them; no two alike.
        picture: PNG, marked as synthetic.
        mask: PNG, 0 and 255.
    """

    name: str
    picture: str
    mask: str


def check_labels(labels: tuple[str, ...]) -> None:
    """Refuse classes that could not be read back from a folder's name.

    Raises:
        UserError: Naming the class.
    """
    for label in labels:
        plain = label.isprintable() and label == label.strip(" .") and not set(label) & FORBIDDEN
        if (
            not plain
            or len(label) > LONGEST_LABEL
            or class_folder(f"{label}/a.png") != label
            or canonical(label) != label
            or label == GOOD
        ):
            raise UserError(
                f"--spec.label {label!r} cannot name a folder that is read back as that class "
                "(at most 64 characters, no path, and no word such as good, test or masks): "
                "rename the class in the data."
            )


def sample_name(generated: Generated) -> str:
    """Return the stem of a sample's files: its index, and a digest of its whole request."""
    request = json.dumps(asdict(generated.request), sort_keys=True)
    digest = hashlib.sha256(request.encode()).hexdigest()[:NAME_DIGITS]
    return f"{generated.request.index:06d}_{digest}"


def write_pictures(folder: str, generated: Generated, written: Written) -> None:
    """Write a sample's picture, marked, and its mask."""
    storage.write_bytes(f"{folder}/{written.picture}", picture_png(generated))
    storage.write_bytes(f"{folder}/{written.mask}", mask_png(generated))


def picture_png(generated: Generated) -> bytes:
    """Return the file of a sample's picture, marked as synthetic."""
    source = SOURCES[generated.request.spec.mode]
    return mark_png(encode(generated.picture[:, :, ::-1]), source)


def mask_png(generated: Generated) -> bytes:
    """Return the file of a sample's mask, 0 and 255."""
    return encode(generated.mask.astype(np.uint8) * np.uint8(255))


def encode(picture: NDArray[np.uint8]) -> bytes:
    """Encode ``(H, W)`` grey or ``(H, W, 3)`` BGR uint8 as PNG; grey colours need one channel."""
    if picture.ndim == 3 and (picture == picture[:, :, :1]).all():
        picture = picture[:, :, 0]
    data: bytes = cv2.imencode(".png", np.ascontiguousarray(picture))[1].tobytes()
    return data


def provenance_row(generated: Generated, written: Written) -> dict[str, Any]:
    """Return what is known about a written sample, JSON-like."""
    return {"file": written.picture, "mask": written.mask, **provenance_of(generated)}


def provenance_of(generated: Generated) -> dict[str, Any]:
    """Return what is known about a sample, JSON-like: with it, anybody can make it again."""
    request = generated.request
    return {
        "label": request.spec.label,
        "synthetic": SOURCES[request.spec.mode],
        "boxes": [list(box) for box in generated.boxes],
        "request": {**asdict(request), "seed": request.seed},
        "provenance": dict(generated.provenance),
        "verdicts": [
            {**asdict(verdict), "value": _number(verdict.value)} for verdict in generated.verdicts
        ],
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
