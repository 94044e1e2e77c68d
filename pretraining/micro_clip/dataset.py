"""Pictures with captions and masks, held in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from millsight.platform.errors import UserError

CAPTIONS = "captions.jsonl"


@dataclass(frozen=True)
class CaptionedPictures:
    """N grey pictures of one size.

    Attributes:
        pictures: uint8 (N, S, S).
        masks: uint8 (N, G, G), percent of a patch's pixels that are defect.
        captions: At least one sentence per picture.
        classes: ``(surface, label)`` per picture.
    """

    pictures: np.ndarray
    masks: np.ndarray
    captions: tuple[tuple[str, ...], ...]
    classes: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, indices: np.ndarray) -> CaptionedPictures:
        """Return the pictures at ``indices``."""
        return CaptionedPictures(
            self.pictures[indices],
            self.masks[indices],
            tuple(self.captions[i] for i in indices),
            tuple(self.classes[i] for i in indices),
        )


def read_captioned(root: Path, *, size: int, grid: int) -> CaptionedPictures:
    """Read a folder with a ``captions.jsonl`` (as ``millsight generate procedural`` writes).

    Args:
        root: Each line of its ``captions.jsonl`` names a ``file``, its ``mask`` or null, the
            ``surface``, the ``label`` and the ``captions``.
        size: Pictures are resampled to this side, pixels (area average).
        grid: Side of the mask grid, patches.

    Raises:
        UserError: If there is no such file, or a picture it names cannot be read.
    """
    listing = root / CAPTIONS
    if not listing.is_file():
        raise UserError(
            f"--data: {listing} is missing; make one with `millsight generate procedural`."
        )
    records = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    pictures = np.empty((len(records), size, size), np.uint8)
    masks = np.zeros((len(records), grid, grid), np.uint8)
    for index, record in enumerate(records):
        pictures[index] = cv2.resize(
            _read_grey(root / record["file"]), (size, size), interpolation=cv2.INTER_AREA
        )
        if record.get("mask"):
            covered = _read_grey(root / record["mask"]).astype(np.float32) / 2.55
            masks[index] = cv2.resize(covered, (grid, grid), interpolation=cv2.INTER_AREA).round()
    captions = tuple(tuple(record["captions"]) for record in records)
    classes = tuple((record["surface"], record["label"]) for record in records)
    return CaptionedPictures(pictures, masks, captions, classes)


def split_holdout(
    data: CaptionedPictures, share: float
) -> tuple[CaptionedPictures, CaptionedPictures]:
    """Cut off every picture whose content's hash falls into the first ``share``."""
    hashes = (hashlib.sha256(picture.tobytes()).digest() for picture in data.pictures)
    held = np.array([int.from_bytes(item[:4]) < share * 2**32 for item in hashes])
    return data.take(np.flatnonzero(~held)), data.take(np.flatnonzero(held))


def _read_grey(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise UserError(f"{path}: not a readable picture; make the data set again.")
    return picture
