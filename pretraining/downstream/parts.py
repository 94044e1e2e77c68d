"""The pictures to learn from, to choose by and to predict, one physical object on one side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.catalog.splits import split as split_groups
from millsight.platform.errors import UserError
from millsight.platform.progress import Progress


@dataclass(frozen=True)
class Parts:
    """Three parts of a catalog, apart from each other."""

    train: Catalog
    val: Catalog
    predicted: Catalog


def split_catalog(catalog: Catalog, *, data: str, split: str, holdout: float, seed: int) -> Parts:
    """Divide a catalog; without a ``val`` split, a share of ``train`` is cut off for it.

    Args:
        catalog: With its splits.
        data: What ``--data`` said.
        split: To predict.
        holdout: Share of ``train`` that becomes ``val``.
        seed: Of that division.

    Raises:
        UserError: If a part is empty.
    """
    train, val = catalog.where(split="train"), catalog.where(split="val")
    if not train.samples:
        raise UserError(
            f"--data {data}: no picture is in split 'train'; divide it with `millsight data split`."
        )
    if not val.samples:
        divided = split_groups(train, {"train": 1 - holdout, "val": holdout}, seed, near=False)
        train, val = divided.where(split="train"), divided.where(split="val")
    predicted = catalog.where(split=split)
    if not predicted.samples:
        raise UserError(f"--split {split}: no picture of {data} is in it.")
    return Parts(train, val, predicted)


def readable(samples: Sequence[Sample], progress: Progress) -> tuple[set[str], list[Quarantined]]:
    """Decode every picture once, so that training does not end at one that is damaged."""
    sound, broken = set(), []
    for done, sample in enumerate(samples, start=1):
        try:
            open_picture(sample.uri)
            sound.add(sample.uri)
        except PictureError as error:
            broken.append(Quarantined(sample.uri, str(error), sample.id))
        progress(done, len(samples))
    return sound, broken


def read_batches(
    samples: Sequence[Sample],
    batch_size: int,
    read: Callable[[Sample], Tensor],
    broken: list[Quarantined],
    progress: Progress,
) -> Iterator[tuple[list[Sample], list[Tensor]]]:
    """Yield pictures to predict in batches, with their samples.

    Args:
        samples: What to read.
        batch_size: At most, of each.
        read: Opens one.
        broken: Gets those that cannot be read.
        progress: Called with pictures done and pictures in all, after each batch.
    """
    for start in range(0, len(samples), batch_size):
        pictures, sound = [], []
        for sample in samples[start : start + batch_size]:
            try:
                pictures.append(read(sample))
            except PictureError as error:
                broken.append(Quarantined(sample.uri, str(error), sample.id))
                continue
            sound.append(sample)
        if pictures:
            yield sound, pictures
        progress(min(start + batch_size, len(samples)), len(samples))
