"""Pictures with their anomaly maps as views: one crop and flip for both, light for the picture."""

from __future__ import annotations

from collections.abc import Sequence

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform.catalog.pictures import reopen_picture
from millsight.platform.training import training_loader
from millsight.pretraining.backbone.config import BackboneConfig
from millsight.pretraining.backbone.tasks import Views

SEED_STEP = 1_000_003


class MappedPictures(Dataset[Views]):
    """Views by ``(epoch, index)``; the same key gives the same tensors in any worker.

    Pictures are decoded when they are asked for, so that a million of them need no memory.

    Args:
        maps: Which pictures, each with its map.
        categories: Names of the classes; a picture's target is its category's place here.
        size: H and W of a view, pixels.
        n_views: V.
        smallest: Least share of the picture's area that a view shows.
        seed: Of crops, flips and light.
    """

    def __init__(
        self,
        maps: Sequence[AnomalyMap],
        categories: Sequence[str],
        *,
        size: int,
        n_views: int,
        smallest: float = 0.2,
        seed: int = 0,
    ) -> None:
        self._maps, self._n_views, self._seed = maps, n_views, seed
        self._targets = {name: number for number, name in enumerate(categories)}
        # One call takes picture and map together, so that both get the same crop and flip.
        self._place = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(smallest, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
            ]
        )
        self._light = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(brightness=0.4, contrast=0.4)], p=0.8),
                v2.RandomApply([v2.GaussianBlur(9, sigma=(0.1, 2.0))], p=0.2),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self._maps)

    def __getitem__(self, key: tuple[int, int]) -> Views:
        """Return one picture's views, without the batch's axis.

        Raises:
            UserError: If the picture cannot be read any more.
        """
        epoch, index = key
        item = self._maps[index]
        picture = torch.from_numpy(reopen_picture(item.uri)).permute(2, 0, 1)
        grid = torch.from_numpy(item.upsample(*picture.shape[-2:]))[None]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self._seed * SEED_STEP + epoch) * SEED_STEP + index)
            views = [self._view(picture, grid) for _ in range(self._n_views)]
        pictures, maps = (torch.stack(parts) for parts in zip(*views, strict=True))
        return Views(pictures, maps, torch.tensor(self._targets[item.category]))

    def _view(self, picture: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        placed, moved = self._place(tv_tensors.Image(picture), tv_tensors.Image(grid))
        return self._light(placed).as_subclass(Tensor), moved.as_subclass(Tensor)


class BackboneData(lightning.LightningDataModule):
    """Training views as batches, in process or on each worker of many.

    Args:
        maps: Which pictures, each with its map.
        categories: Names of the classes.
        config: Sizes and seed.
        n_views: V.
        loaders: Processes that read ahead; 0 reads between the steps.
    """

    def __init__(
        self,
        maps: Sequence[AnomalyMap],
        categories: Sequence[str],
        config: BackboneConfig,
        n_views: int,
        loaders: int,
    ) -> None:
        super().__init__()
        self._config, self._loaders = config, loaders
        self._pictures = MappedPictures(
            maps,
            categories,
            size=config.image_size,
            n_views=n_views,
            smallest=config.smallest_crop,
            seed=config.seed,
        )

    def train_dataloader(self) -> DataLoader[Views]:
        """Shuffled, whole batches only; the order depends on seed and epoch alone."""
        return training_loader(
            self._pictures,
            self._config.batch_size,
            seed=self._config.seed,
            loaders=self._loaders,
            trainer=self.trainer,
            collate=collate,
        )


def collate(items: Sequence[Views]) -> Views:
    """Stack pictures' views to a batch."""
    return Views(
        torch.stack([item.pictures for item in items]),
        torch.stack([item.maps for item in items]),
        torch.stack([item.targets for item in items]),
    )
