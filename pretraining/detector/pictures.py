"""Pictures with boxes as batches: flipped, zoomed, lit otherwise, four put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from millsight.platform.catalog.pictures import reopen_picture
from millsight.platform.training import training_loader, validation_loader
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.interface import DetectionBatch

SEED_STEP = 1_000_003
# A box of which augmentation leaves less is dropped.
LEAST_SIDE = 3.0
# ultralytics' grey, outside of a zoomed-out picture.
GREY = 114
MOVE = 0.1
# Where a mosaic's four pictures meet, as a share of its sides.
MEETING = (0.3, 0.7)


@dataclass(frozen=True)
class BoxedPicture:
    """One picture and its boxes.

    Attributes:
        uri: The picture.
        boxes: ``(N, 4)`` float32 as ``(x0, y0, x1, y1)``, pixels of the upright picture.
        labels: ``(N,)`` int64, from 0.
        sample_id: Of the picture's ``Sample``.
    """

    uri: str
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    sample_id: str = ""


Example = tuple[Tensor, Tensor, Tensor]


class BoxedPictures(Dataset[Example]):
    """Pictures uint8 -> float32 ``(3, H, W)`` in [0, 1] at their own size, boxes, labels.

    Pictures are decoded when they are asked for, so that a million of them need no memory.

    Args:
        pictures: What there is.
    """

    def __init__(self, pictures: Sequence[BoxedPicture]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Example:
        """Return one picture unchanged.

        Raises:
            UserError: If the picture cannot be read any more.
        """
        picture, boxes, labels = self._open(index)
        return picture.float() / 255, boxes, labels

    def _open(self, index: int) -> Example:
        item = self.pictures[index]
        picture = torch.from_numpy(reopen_picture(item.uri)).permute(2, 0, 1)
        return picture, torch.from_numpy(item.boxes), torch.from_numpy(item.labels)


class TrainingPictures(BoxedPictures):
    """Augmented pictures by ``(epoch, index)``; the same key gives the same tensors in any worker.

    Boxes go with their pictures through torchvision's transforms. torchvision has no mosaic, and
    kornia's loses the labels, so the mosaic is here: it crops and joins four pictures.

    Args:
        pictures: What there is.
        config: Scale, mosaic and seed.
    """

    def __init__(self, pictures: Sequence[BoxedPicture], config: DetectorTrainingConfig) -> None:
        super().__init__(pictures)
        self._config = config
        zoom = (1 - config.scale, 1 + config.scale)
        moves = v2.RandomAffine(0, translate=(MOVE, MOVE), scale=zoom, fill=GREY)
        self._place = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                *([moves] if config.scale else []),
            ]
        )
        self._light = v2.Compose(
            [v2.ColorJitter(brightness=0.3, contrast=0.3), v2.ToDtype(torch.float32, scale=True)]
        )
        self._whole = v2.SanitizeBoundingBoxes(min_size=LEAST_SIDE)

    def __getitem__(self, key: Any) -> Example:
        """Return one augmented picture, in the size of the picture at the index.

        Raises:
            UserError: If the picture cannot be read any more.
        """
        epoch, index = cast(tuple[int, int], key)
        with torch.random.fork_rng(devices=[]):
            # `torch.manual_seed` would seed the accelerator too, which is not put back.
            torch.default_generator.manual_seed(
                (self._config.seed * SEED_STEP + epoch) * SEED_STEP + index
            )
            if torch.rand(()) < self._config.mosaic:
                return self._finish(*self._mosaic(index))
            return self._finish(*self._placed(index))

    def _placed(self, index: int) -> Example:
        picture, boxes, labels = self._open(index)
        size = cast(tuple[int, int], tuple(picture.shape[-2:]))
        boxed = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
        placed, moved = self._place(tv_tensors.Image(picture), boxed)
        return placed, moved, labels

    def _finish(self, picture: Tensor, boxes: Tensor, labels: Tensor) -> Example:
        lit = self._light(tv_tensors.Image(picture))
        kept = self._whole({"boxes": v2.functional.clamp_bounding_boxes(boxes), "labels": labels})
        return lit.as_subclass(Tensor), kept["boxes"].as_subclass(Tensor), kept["labels"]

    def _mosaic(self, index: int) -> Example:
        """Join corners of four pictures, which meet at a random point."""
        others = torch.randint(len(self), (3,)).tolist()
        parts = [self._placed(at) for at in (index, *others)]
        height, width = parts[0][0].shape[-2:]
        low, high = MEETING
        x, y = (
            round(side * float(torch.empty(()).uniform_(low, high))) for side in (width, height)
        )
        corners = (0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)
        canvas = parts[0][0].new_empty((3, height, width))
        boxes = []
        for (picture, moved, _), (x0, y0, x1, y1) in zip(parts, corners, strict=True):
            corner, own = _corner(picture, moved, (y1 - y0, x1 - x0))
            canvas[:, y0:y1, x0:x1] = corner
            boxes.append(own + own.new_tensor([x0, y0, x0, y0]))
        joined = tv_tensors.BoundingBoxes(
            torch.cat(boxes), format="XYXY", canvas_size=(height, width)
        )
        return canvas, joined, torch.cat([labels for _, _, labels in parts])


class DetectionData(lightning.LightningDataModule):
    """Training and validation pictures as batches, in process or on each worker of many.

    Args:
        learned: Pictures to learn from.
        validated: Pictures to choose by; may be none.
        config: Batch size, augmentation and seed.
        loaders: Processes that read ahead; 0 reads between the steps.
    """

    def __init__(
        self,
        learned: Sequence[BoxedPicture],
        validated: Sequence[BoxedPicture],
        config: DetectorTrainingConfig,
        loaders: int,
    ) -> None:
        super().__init__()
        self.validated = BoxedPictures(validated)
        self.learned: Dataset[Example] = TrainingPictures(learned, config)
        self._config, self._loaders = config, loaders

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


def collate(items: Sequence[Example]) -> DetectionBatch:
    """Put pictures of any sizes into one batch."""
    pictures, boxes, labels = zip(*items, strict=True)
    return DetectionBatch(list(pictures), list(boxes), list(labels))


def _corner(picture: Tensor, boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Crop ``size``, height and width, at random from a picture that is enlarged if need be."""
    height, width = size
    grown = max(height / picture.shape[-2], width / picture.shape[-1], 1.0)
    if grown > 1:
        shape = [max(size[i], round(picture.shape[i + 1] * grown)) for i in (0, 1)]
        picture = v2.functional.resize(picture, shape, antialias=True)
        boxes = boxes * grown
    top = int(torch.randint(picture.shape[-2] - height + 1, ()))
    left = int(torch.randint(picture.shape[-1] - width + 1, ()))
    moved = (boxes - boxes.new_tensor([left, top, left, top])).as_subclass(Tensor)
    limits = moved.new_tensor([width, height, width, height])
    return picture[:, top : top + height, left : left + width], moved.clamp(min=0).minimum(limits)
