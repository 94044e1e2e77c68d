"""Synthetic pictures to learn beside the labelled ones, and how they are mixed in."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input


def as_inputs(extra: Sequence[Catalog]) -> dict[str, Input]:
    """Name sets as an artifact's inputs."""
    return {f"extra_{at}": found.as_input() for at, found in enumerate(extra)}


def as_settings(extra: Sequence[Catalog], share: float) -> dict[str, Any]:
    """Return what an artifact's configuration has of them; without sets, nothing.

    Raises:
        UserError: If the share is none.
    """
    if not 0 < share <= 1:
        raise UserError(f"--extra_share {share}: above 0 and at most 1.")
    return {"extra_share": share} if extra else {}


def tell(real: Mapping[str, int], extra: Mapping[str, int]) -> None:
    """Say how many pictures of each class there are, and which classes stay without synthetic ones.

    Args:
        real: Labelled pictures to learn from, by class.
        extra: Synthetic ones.
    """
    parts = [f"{name} {count} + {extra.get(name, 0)}" for name, count in sorted(real.items())]
    print(f"Real + synthetic pictures: {', '.join(parts)}")
    without = sorted(name for name in real if not extra.get(name))
    if without and any(extra.values()):
        print(f"Learnt from real pictures alone: {', '.join(without)}")


def check_label(label: str | None, known: Collection[str], sample: Sample) -> str:
    """Return a synthetic picture's class.

    Raises:
        UserError: If no labelled picture has it.
    """
    if label is None or label not in known:
        raise UserError(
            f"--extra: {sample.uri} shows {label!r}; the labelled pictures have {', '.join(known)}."
        )
    return label


class MixedPictures(Dataset[Any]):
    """Pictures by ``(epoch, index)``, of which some are replaced by synthetic ones of their class.

    With or without synthetic pictures an epoch is as long, and has as many of each class: what is
    compared is what the same steps learn from. Which are replaced depends on seed, epoch and index
    alone.

    Args:
        data: Real pictures, then synthetic ones, asked by ``(epoch, index)``.
        stand_ins: For each real picture the indices of the synthetic ones that may take its place.
        share: How often one does, in (0, 1].
        seed: Of the choice.
    """

    def __init__(
        self, data: Dataset[Any], stand_ins: Sequence[NDArray[np.int64]], share: float, seed: int
    ) -> None:
        self._data, self._stand_ins = data, stand_ins
        self._share, self._seed = share, seed

    def __len__(self) -> int:
        return len(self._stand_ins)

    def __getitem__(self, key: Any) -> Any:
        """Return the real picture at an index, or a synthetic one in its place."""
        epoch, index = cast(tuple[int, int], key)
        return self._data[epoch, self.chosen(epoch, index)]

    def chosen(self, epoch: int, index: int) -> int:
        """Return the index of the picture that is shown in an epoch."""
        others = self._stand_ins[index]
        random = np.random.default_rng((self._seed, epoch, index))
        if not len(others) or random.random() >= self._share:
            return index
        return int(others[random.integers(len(others))])


def stand_ins(
    real: Sequence[Collection[Hashable]], extra: Sequence[Collection[Hashable]]
) -> list[NDArray[np.int64]]:
    """Return for each real picture the places, after the real ones, of those that share a class.

    Args:
        real: Defect classes on each real picture; a good one has none, and nothing stands in.
        extra: Defect classes on each synthetic picture.
    """
    by_class: dict[Hashable, list[int]] = {}
    for at, classes in enumerate(extra, start=len(real)):
        for name in set(classes):
            by_class.setdefault(name, []).append(at)
    return [
        np.array(sorted({at for name in classes for at in by_class.get(name, ())}), np.int64)
        for classes in real
    ]
