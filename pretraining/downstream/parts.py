"""The pictures to learn from, to choose by and to predict, one physical object on one side."""

from __future__ import annotations

from dataclasses import dataclass

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.splits import split as split_groups
from millsight.platform.errors import UserError


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
