"""Procedural steel in memory: grey pictures, masks and sentences."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from millsight.generators.procedural.dataset import CAPTIONS_FILE
from millsight.platform.catalog.pictures import PictureError, open_mask, open_picture
from millsight.platform.errors import UserError
from millsight.platform.progress import Progress


@dataclass(frozen=True)
class SteelPictures:
    """N pictures of one size.

    Attributes:
        pictures: ``(N, S, S)`` uint8, grey.
        masks: ``(N, S, S)`` bool, the defects' pixels.
        labels: Defect class or ``"good"``.
        sentences: What each shows, the plainest sentence first; at least one.
    """

    pictures: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    labels: tuple[str, ...]
    sentences: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: NDArray[np.intp]) -> SteelPictures:
        """Return some of the pictures."""
        return SteelPictures(
            self.pictures[places],
            self.masks[places],
            tuple(self.labels[at] for at in places),
            tuple(self.sentences[at] for at in places),
        )

    def split(self, share: float) -> tuple[SteelPictures, SteelPictures]:
        """Keep every picture whose content's hash lies in the first ``share`` apart.

        Returns:
            To learn from, and to measure on.

        Raises:
            UserError: If one of them is empty.
        """
        hashes = [hashlib.sha256(picture.tobytes()).digest() for picture in self.pictures]
        held = np.array([int.from_bytes(item[:4]) < share * 2**32 for item in hashes])
        if held.all() or not held.any():
            raise UserError(
                f"--training.holdout {share}: of {len(self)} pictures, {held.sum()} would be kept "
                "to measure; choose another share, or make more pictures."
            )
        return self.take(np.flatnonzero(~held)), self.take(np.flatnonzero(held))


def read_steel(root: Path, side: int, progress: Progress) -> SteelPictures:
    """Read what ``millsight generate procedural`` wrote.

    Args:
        root: Its folder.
        side: Pictures are scaled to it, pixels.
        progress: Called with pictures done and pictures in all.

    Raises:
        UserError: If its list of sentences is missing, or a picture cannot be read.
    """
    listing = root / CAPTIONS_FILE
    if not listing.is_file():
        raise UserError(
            f"--data: {listing} is missing; make one with `millsight generate procedural`."
        )
    records = [json.loads(line) for line in listing.read_text("utf-8").splitlines()]
    pictures = np.empty((len(records), side, side), np.uint8)
    masks = np.zeros((len(records), side, side), np.bool_)
    for at, record in enumerate(records):
        try:
            picture = open_picture(str(root / record["file"]))
            pictures[at] = _scaled(picture[..., 0], side)
            if record["mask"]:
                size = picture.shape[1], picture.shape[0]
                drawn = open_mask(str(root / record["mask"]), size)
                masks[at] = _scaled(drawn.astype(np.uint8) * np.uint8(255), side) > 0
        except PictureError as error:
            raise UserError(
                f"--data: {root / record['file']}: {error}; make the set again."
            ) from None
        progress(at + 1, len(records))
    labels = tuple(record["label"] for record in records)
    sentences = tuple(tuple(record["captions"]) for record in records)
    return SteelPictures(pictures, masks, labels, sentences)


def to_pixels(pictures: NDArray[np.uint8]) -> Tensor:
    """Return grey ``(..., S, S)`` uint8 pictures as ``(..., 3, S, S)`` float32 in [-1, 1]."""
    grey = torch.from_numpy(pictures).float() / 127.5 - 1
    return grey.unsqueeze(-3).repeat_interleave(3, dim=-3)


class MirroredPictures(Dataset[tuple[Tensor, Tensor]]):
    """Pictures by ``(epoch, index)``, mirrored at random, with how much each pixel counts.

    Args:
        data: What there is.
        defects: How much more a defect's pixels count.
        seed: Of the mirroring.
    """

    def __init__(self, data: SteelPictures, defects: float, seed: int) -> None:
        self._data, self._defects, self._seed = data, defects, seed

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return ``(3, S, S)`` float32 in [-1, 1], and weights ``(1, S, S)``."""
        epoch, index = key
        draw = np.random.default_rng([self._seed, epoch, index])
        axes = tuple(axis for axis in (0, 1) if draw.random() < 0.5)
        picture = np.flip(self._data.pictures[index], axes).copy()
        mask = np.flip(self._data.masks[index], axes).copy()
        weights = 1 + self._defects * torch.from_numpy(mask).float()
        return to_pixels(picture), weights[None]


def _scaled(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    scaled = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, np.uint8)
