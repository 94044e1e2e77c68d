"""From samples to tensors: pictures, masks and labels, with what is unknown marked as such."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from torchvision import tv_tensors
from torchvision.transforms import v2

from millsight.platform.catalog.pictures import PictureError, open_mask, open_picture
from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.progress import Progress
from millsight.platform.training import EpochKeys
from millsight.pretraining.downstream.extra import MixedPictures, stand_ins
from millsight.pretraining.downstream.multitask.config import MultitaskConfig
from millsight.pretraining.downstream.multitask.losses import Batch

THREADS = 2


@dataclass(frozen=True)
class Truth:
    """What is known about one picture.

    Attributes:
        mask: (H, W) bool at the picture's own size, all false for a good picture; ``None`` where
            nobody drew one.
        defective: The sample's label; ``None`` where it is unknown.
    """

    mask: np.ndarray | None
    defective: bool | None


@dataclass(frozen=True)
class MaskedPictures:
    """N pictures held in memory at the network's size: 4 H W bytes each.

    Attributes:
        samples: What they are.
        pictures: uint8 (N, 3, H, W), RGB.
        masks: uint8 (N, 1, H, W), 255 where a pixel is all defect; soft where it is partly so,
            which keeps cracks thinner than a pixel of this size.
        mask_known: bool (N,).
        targets: bool (N,), true for a defective sample.
        target_known: bool (N,).
        areas: float64 (N,), share of the picture that is defect, at its own size; NaN where the
            mask is unknown.
        sizes: int64 (N, 2), the pictures' own height and width, pixels.
    """

    samples: tuple[Sample, ...]
    pictures: Tensor
    masks: Tensor
    mask_known: np.ndarray
    targets: np.ndarray
    target_known: np.ndarray
    areas: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: np.ndarray) -> MaskedPictures:
        """Return the pictures at ``indices``, int64 (M,)."""
        chosen = torch.from_numpy(indices)
        return MaskedPictures(
            tuple(self.samples[index] for index in indices),
            self.pictures[chosen],
            self.masks[chosen],
            self.mask_known[indices],
            self.targets[indices],
            self.target_known[indices],
            self.areas[indices],
            self.sizes[indices],
        )

    def followed_by(self, others: MaskedPictures) -> MaskedPictures:
        """Return these pictures, then others of the same size."""
        return MaskedPictures(
            self.samples + others.samples,
            torch.cat((self.pictures, others.pictures)),
            torch.cat((self.masks, others.masks)),
            np.concatenate((self.mask_known, others.mask_known)),
            np.concatenate((self.targets, others.targets)),
            np.concatenate((self.target_known, others.target_known)),
            np.concatenate((self.areas, others.areas)),
            np.concatenate((self.sizes, others.sizes)),
        )

    def classes(self) -> list[tuple[str, ...]]:
        """Return each picture's defect class; none for a good one and where nobody has said."""
        return [
            (sample.label,) if sample.label and bad else ()
            for sample, bad in zip(self.samples, self.targets.tolist(), strict=True)
        ]

    def known(self) -> MaskedPictures:
        """Return the pictures that have at least one of mask and label."""
        return self.take(np.flatnonzero(self.mask_known | self.target_known))

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return pictures as the network takes them, unchanged."""
        chosen = list(indices)
        facts = (self.mask_known, self.targets, self.target_known)
        known, targets, target_known = (torch.from_numpy(f[chosen]).float() for f in facts)
        pictures, masks = self.pictures[chosen].float() / 255, self.masks[chosen].float() / 255
        return Batch(pictures, masks, known, targets, target_known)


def read_truth(sample: Sample, size: tuple[int, int]) -> Truth:
    """Read what is known about a sample.

    A good picture has an empty mask. A defective one whose mask is empty (magnetic-tile has four)
    was not outlined: its mask is unknown. A mask without a label decides the label.

    Args:
        sample: The sample.
        size: Its picture's width and height, pixels.

    Raises:
        PictureError: If the mask does not decode or is of another size.
    """
    if sample.defective is False:
        return Truth(np.zeros(size[::-1], dtype=bool), defective=False)
    if sample.mask_uri is None:
        return Truth(None, sample.defective)
    mask = open_mask(sample.mask_uri, size)
    if sample.defective and not mask.any():
        return Truth(None, defective=True)
    return Truth(mask, defective=bool(mask.any()))


def read_pictures(
    samples: Sequence[Sample], size: tuple[int, int], progress: Progress, kept: Kept | None = None
) -> tuple[MaskedPictures, tuple[Quarantined, ...]]:
    """Decode pictures and masks and squash them to ``size``, height and width in pixels.

    Args:
        samples: What to read.
        size: Height and width, pixels.
        progress: Called with pictures done and pictures in all.
        kept: Pictures read before at this size are taken from here, others put here.

    Returns:
        The pictures in the order of ``samples``, and those that were set aside with the reason.
    """
    rows: list[_Row] = []
    broken: list[Quarantined] = []
    known = {} if kept is None else kept

    def read(sample: Sample) -> _Row | Quarantined:
        found = known.get((sample, size)) or _read(sample, size)
        return found if kept is None else kept.setdefault((sample, size), found)

    with ThreadPoolExecutor(THREADS) as pool:
        for done, found in enumerate(pool.map(read, samples), start=1):
            if isinstance(found, _Row):
                rows.append(found)
            else:
                broken.append(found)
            progress(done, len(samples))
    return _join(rows, size), tuple(broken)


class TrainingPictures(Dataset[Batch]):
    """Augmented pictures by ``(epoch, index)``; the same key gives the same tensors anywhere."""

    def __init__(self, pictures: MaskedPictures, seed: int) -> None:
        self._pictures, self._seed = pictures, seed
        self._transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.ColorJitter(brightness=0.2, contrast=0.2),
            ]
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Return one picture as a ``Batch`` without its first axis."""
        epoch, index = key
        item = Batch(*(values[0] for values in self._pictures.batch([index])))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self._seed * 1_000_003 + epoch) * 1_000_003 + index)
            picture, mask = self._transform(
                tv_tensors.Image(item.pictures), tv_tensors.Mask(item.masks)
            )
        return item._replace(pictures=picture.as_subclass(Tensor), masks=mask.as_subclass(Tensor))


class BalancedKeys(EpochKeys):
    """Keys of ``TrainingPictures``, as many of each kind: all of the rarest.

    Args:
        kinds: Indices of pictures, int64, by kind.
        world: See ``EpochKeys``.
        rank: See ``EpochKeys``.
        seed: Of the draw.
    """

    def __init__(self, kinds: Sequence[np.ndarray], world: int, rank: int, seed: int) -> None:
        self._kinds, self._each = kinds, min(len(kind) for kind in kinds)
        super().__init__(range(self._each * len(kinds)), world, rank, seed)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield this worker's keys."""
        random = np.random.default_rng((self.seed, self.epoch))
        drawn = np.concatenate([random.permutation(kind)[: self._each] for kind in self._kinds])
        for epoch, place in super().__iter__():
            yield epoch, int(drawn[place])


class MultitaskData(lightning.LightningDataModule):
    """Training and validation pictures as batches, in process or on each worker of many.

    Args:
        learned: Pictures to learn from.
        validated: Pictures to choose by.
        config: Batch size and seed.
        extra: Synthetic pictures.
        share: See ``MixedPictures``.
    """

    def __init__(
        self,
        learned: MaskedPictures,
        validated: MaskedPictures,
        config: MultitaskConfig,
        extra: MaskedPictures | None = None,
        *,
        share: float = 0.5,
    ) -> None:
        super().__init__()
        self.learned, self.validated, self.config = learned, validated, config
        self.extra, self._share = extra, share

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, augmented, whole batches only."""
        data = self._training_pictures()
        trainer = self.trainer
        world, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        kinds = _kinds(self.learned.targets) if self.config.balanced else [np.arange(len(data))]
        sampler = BalancedKeys(kinds, world, rank, self.config.seed)
        size = min(self.config.batch_size, len(sampler))
        return DataLoader(data, batch_size=size, sampler=sampler, drop_last=True)

    def _training_pictures(self) -> TrainingPictures | MixedPictures:
        if self.extra is None:
            return TrainingPictures(self.learned, self.config.seed)
        whole = TrainingPictures(self.learned.followed_by(self.extra), self.config.seed)
        replaced = stand_ins(self.learned.classes(), self.extra.classes())
        return MixedPictures(whole, replaced, self._share, self.config.seed)

    def val_dataloader(self) -> DataLoader[Batch]:
        """All validation pictures, on every worker, so that no number depends on their count."""
        whole = list(batches(self.validated, self.config.batch_size))
        sampler: DistributedSampler[Batch] = DistributedSampler(
            cast(Dataset[Batch], whole), num_replicas=1, rank=0, shuffle=False
        )
        return DataLoader(cast(Dataset[Batch], whole), batch_size=None, sampler=sampler)


def batches(pictures: MaskedPictures, batch_size: int) -> Iterator[Batch]:
    """Yield pictures in their order as ``Batch``."""
    for start in range(0, len(pictures), batch_size):
        yield pictures.batch(range(start, min(start + batch_size, len(pictures))))


def _kinds(targets: np.ndarray) -> list[np.ndarray]:
    """Return the indices of defective and of other pictures, of those kinds that there are."""
    kinds = np.flatnonzero(targets), np.flatnonzero(~targets)
    return [kind for kind in kinds if len(kind)]


@dataclass(frozen=True)
class _Row:
    sample: Sample
    picture: Tensor
    mask: Tensor
    mask_known: bool
    defective: bool | None
    area: float
    size: tuple[int, int]


Kept = dict[tuple[Sample, tuple[int, int]], _Row | Quarantined]


def _read(sample: Sample, size: tuple[int, int]) -> _Row | Quarantined:
    try:
        picture = open_picture(sample.uri)
        height, width = picture.shape[:2]
        truth = read_truth(sample, (width, height))
    except PictureError as error:
        return Quarantined(sample.uri, str(error), sample.id)
    known = truth.mask is not None
    mask = np.zeros((height, width), dtype=bool) if truth.mask is None else truth.mask
    area = float(mask.mean()) if known else float("nan")
    covered = torch.from_numpy(mask.astype(np.uint8) * 255)[None]
    chw = torch.from_numpy(picture).permute(2, 0, 1)
    squashed = _squash(chw, size), _squash(covered, size)
    return _Row(sample, *squashed, known, truth.defective, area, (height, width))


def _squash(values: Tensor, size: tuple[int, int]) -> Tensor:
    resized: Tensor = v2.functional.resize(values, list(size), antialias=True)
    return resized


def _join(rows: Sequence[_Row], size: tuple[int, int]) -> MaskedPictures:
    pictures = [row.picture for row in rows]
    masks = [row.mask for row in rows]
    return MaskedPictures(
        samples=tuple(row.sample for row in rows),
        pictures=torch.stack(pictures) if rows else torch.zeros(0, 3, *size).byte(),
        masks=torch.stack(masks) if rows else torch.zeros(0, 1, *size).byte(),
        mask_known=np.array([row.mask_known for row in rows], dtype=bool),
        targets=np.array([row.defective is True for row in rows], dtype=bool),
        target_known=np.array([row.defective is not None for row in rows], dtype=bool),
        areas=np.array([row.area for row in rows], dtype=np.float64),
        sizes=np.array([row.size for row in rows], dtype=np.int64).reshape(-1, 2),
    )
