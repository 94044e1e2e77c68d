"""Does the attention lie on true defects: as a number, and as pictures to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform.catalog.pictures import open_mask, open_picture
from millsight.pretraining.backbone.distillation import attention_map
from millsight.pretraining.backbone.energy import defect_energy
from millsight.pretraining.backbone.stages import StagedBackbone
from millsight.pretraining.map_quality.contact_sheet import Rgb, heat_tile, picture_tile

BATCH = 16
SHOWN = 8


@dataclass(frozen=True)
class MaskedMap:
    """A picture with its anomaly map and its true mask."""

    item: AnomalyMap
    mask_uri: str


@dataclass(frozen=True)
class Attention:
    """Attention of one backbone on masked pictures.

    Attributes:
        energy: Per distilled stage, the shallowest first: mean over pictures of the density of
            attention on defects over its density on the whole picture.
        shown: ``(h, w)`` attention of the deepest stage, for the first pictures.
    """

    energy: tuple[float, ...]
    shown: tuple[np.ndarray, ...]


@torch.inference_mode()
def measure_attention(
    backbone: StagedBackbone, masked: Sequence[MaskedMap], size: int
) -> Attention:
    """Look at whole pictures, squashed to ``size`` x ``size`` pixels; leaves no trace.

    Raises:
        PictureError: If a picture or a mask cannot be read, or their sizes differ.
    """
    mode, device = backbone.training, backbone.mean.device
    backbone.eval()
    energies: list[list[Tensor]] = []
    shown: list[np.ndarray] = []
    for pictures, masks in _batches(masked, size):
        _, stages = backbone(pictures.to(device))
        maps = [attention_map(stage).cpu() for stage in stages]
        energies.append([defect_energy(attention, masks) for attention in maps])
        shown += [attention.numpy() for attention in maps[-1][: SHOWN - len(shown)]]
    backbone.train(mode)
    stages_energy = [torch.cat(parts).nanmean().item() for parts in zip(*energies, strict=True)]
    return Attention(tuple(stages_energy), tuple(shown))


def measure_targets(masked: Sequence[MaskedMap], size: int) -> float:
    """Return the same density for the maps themselves: what attention can learn from them.

    Args:
        masked: With maps as ``to_targets`` returns them.
        size: See ``measure_attention``.
    """
    energies = []
    for item in masked:
        target, (_, mask) = torch.from_numpy(item.item.upsample(size, size)), _read(item, size)
        energies.append(defect_energy(target[None], mask[None]))
    return torch.cat(energies).nanmean().item()


def attention_rows(
    masked: Sequence[MaskedMap], before: Attention, after: Attention
) -> list[list[Rgb]]:
    """Return tiles: pictures, true masks, anomaly maps, attention before, and after."""
    chosen = masked[:SHOWN]
    sizes = [(item.item.width, item.item.height) for item in chosen]
    masks = [
        open_mask(m.mask_uri, size).astype(float) for m, size in zip(chosen, sizes, strict=True)
    ]
    columns = (masks, [m.item.grid for m in chosen], before.shown, after.shown)
    heats = [
        [heat_tile(grid, size) for grid, size in zip(grids, sizes, strict=False)]
        for grids in columns
    ]
    return [[picture_tile(m.item.uri, s) for m, s in zip(chosen, sizes, strict=True)], *heats]


def _batches(masked: Sequence[MaskedMap], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(masked), BATCH):
        pairs = [_read(item, size) for item in masked[start : start + BATCH]]
        pictures, masks = zip(*pairs, strict=True)
        yield torch.stack(pictures), torch.stack(masks)


def _read(masked: MaskedMap, size: int) -> tuple[Tensor, Tensor]:
    picture = open_picture(masked.item.uri)
    mask = open_mask(masked.mask_uri, (picture.shape[1], picture.shape[0]))
    chw = torch.from_numpy(picture).permute(2, 0, 1)
    squashed = functional.resize(chw, [size, size], antialias=True).float() / 255
    return squashed, functional.resize(
        torch.from_numpy(mask)[None].float(), [size, size], antialias=True
    )
