"""Labelled pictures as batches: squashed to one size, cropped, flipped, lit otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.pictures import reopen_picture
from millsight.platform.catalog.sample import GOOD, Sample
from millsight.platform.errors import UserError
from millsight.platform.progress import Progress
from millsight.platform.training import SEED_STEP, training_loader, validation_loader
from millsight.pretraining.downstream.classification.commands import FinetuneClassificationConfig
from millsight.pretraining.downstream.classification.config import ClassificationConfig
from millsight.pretraining.downstream.extra import MixedPictures, check_label, stand_ins
from millsight.pretraining.downstream.labelled import LabelledData, draw_labelled
from millsight.pretraining.downstream.parts import split_catalog


class Labelled(NamedTuple):
    """A batch, or one picture without its first axis.

    Attributes:
        pictures: ``(B, 3, H, W)`` float32, RGB in [0, 1].
        labels: ``(B,)`` int64.
    """

    pictures: Tensor
    labels: Tensor


def choose(
    catalog: Catalog, config: FinetuneClassificationConfig, progress: Progress
) -> LabelledData[Sample]:
    """Divide a catalog, draw the labelled pictures, and set aside what cannot be read.

    Raises:
        UserError: If fewer than two classes are labelled, or there are not enough pictures.
    """
    settings = config.training
    parts = split_catalog(
        catalog,
        data=config.data,
        split=config.split,
        holdout=settings.holdout,
        seed=settings.seed,
    )
    learned, validated = ([s for s in part if s.label] for part in (parts.train, parts.val))
    classes = sorted({str(sample.label) for sample in learned})
    if len(classes) < 2:
        raise UserError(
            f"--data {config.data}: its training pictures have {len(classes)} classes, and two or "
            "more are needed; see: millsight data inspect"
        )
    # What is not learnt cannot be chosen by.
    known = [sample for sample in validated if sample.label in classes]
    return draw_labelled(
        catalog,
        parts,
        classes,
        settings,
        learned=learned,
        validated=known,
        seed=settings.seed,
        progress=progress,
    )


def read_extra(catalogs: Sequence[Catalog], classes: Sequence[str]) -> list[Sample]:
    """Return the pictures of synthetic sets.

    Raises:
        UserError: If one shows a class that no labelled picture has.
    """
    found = [sample for catalog in catalogs for sample in catalog]
    for sample in found:
        check_label(sample.label, classes, sample)
    return found


def squash(picture: NDArray[np.uint8], size: int) -> Tensor:
    """Return ``(H, W, 3)`` uint8 as float32 ``(3, size, size)``, RGB in [0, 1]."""
    planes = torch.from_numpy(picture).permute(2, 0, 1)
    resized: Tensor = v2.functional.resize(planes, [size, size], antialias=True)
    return resized.float() / 255


class Pictures(Dataset[Labelled]):
    """Pictures unchanged, by index.

    Args:
        samples: Each with a label among ``classes``.
        classes: Names, by label.
        size: Side, pixels.
    """

    def __init__(self, samples: Sequence[Sample], classes: Sequence[str], size: int) -> None:
        self.samples, self._size = samples, size
        self._labels = [classes.index(str(sample.label)) for sample in samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Labelled:
        """Return one picture.

        Raises:
            UserError: If it cannot be read.
        """
        picture = reopen_picture(self.samples[index].uri)
        return Labelled(squash(picture, self._size), torch.tensor(self._labels[index]))


class TrainingPictures(Pictures):
    """Augmented pictures by ``(epoch, index)``; the same key gives the same tensors anywhere.

    Args:
        samples: Each with a label among ``classes``.
        classes: Names, by label.
        config: Sizes and seed.
    """

    def __init__(
        self, samples: Sequence[Sample], classes: Sequence[str], config: ClassificationConfig
    ) -> None:
        super().__init__(samples, classes, config.image_size)
        self._seed = config.seed
        self._change = v2.Compose(
            [
                v2.RandomResizedCrop(
                    config.image_size, scale=(config.smallest_crop, 1.0), antialias=True
                ),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.ColorJitter(brightness=0.3, contrast=0.3),
            ]
        )

    def __getitem__(self, key: Any) -> Labelled:
        """Return one augmented picture.

        Raises:
            UserError: If it cannot be read.
        """
        epoch, index = cast(tuple[int, int], key)
        item = super().__getitem__(index)
        with torch.random.fork_rng(devices=[]):
            # `torch.manual_seed` would seed the accelerator too, which is not put back.
            torch.default_generator.manual_seed(
                (self._seed * SEED_STEP + epoch) * SEED_STEP + index
            )
            return item._replace(pictures=self._change(item.pictures))


class ClassificationData(lightning.LightningDataModule):
    """Training and validation pictures as batches, in process or on each worker of many.

    Args:
        data: What is learnt from and chosen by.
        extra: Synthetic pictures.
        config: Sizes and seed.
        loaders: Processes that read ahead; 0 reads between the steps.
        share: See ``MixedPictures``.
    """

    def __init__(
        self,
        data: LabelledData[Sample],
        extra: Sequence[Sample],
        config: ClassificationConfig,
        loaders: int,
        *,
        share: float,
    ) -> None:
        super().__init__()
        self._config, self._loaders = config, loaders
        whole = TrainingPictures([*data.learned, *extra], data.classes, config)
        real, synthetic = ([_defects(s) for s in part] for part in (data.learned, extra))
        self.learned = MixedPictures(whole, stand_ins(real, synthetic), share, config.seed)
        self.validated = Pictures(data.validated, data.classes, config.image_size)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled, augmented, whole batches only; the order depends on seed and epoch alone."""
        return training_loader(
            self.learned,
            self._config.batch_size,
            seed=self._config.seed,
            loaders=self._loaders,
            trainer=self.trainer,
            collate=collate,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """All validation pictures, on every worker, so that no number depends on their count."""
        return validation_loader(self.validated, self._config.batch_size, collate)


def collate(items: Sequence[Labelled]) -> Labelled:
    """Put pictures into one batch."""
    pictures, labels = zip(*items, strict=True)
    return Labelled(torch.stack(pictures), torch.stack(labels))


def _defects(sample: Sample) -> tuple[str, ...]:
    return () if sample.label is None or sample.label == GOOD else (sample.label,)
