"""Picture and map stay aligned under every augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.pretraining.backbone.pictures import MappedPictures, collate

HEIGHT, WIDTH = 96, 128


def mapped(folder: Path, seed: int) -> AnomalyMap:
    """A picture that is its own anomaly map, in 8 bits."""
    grid = np.random.default_rng(seed).random((6, 8)).astype(np.float16)
    path = folder / f"{seed}.png"
    item = AnomalyMap(path.stem, str(path), "steel", 1.0, None, WIDTH, HEIGHT, grid)
    Image.fromarray((item.upsample() * 255).astype(np.uint8)).save(path)
    return item


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_picture_and_map_get_the_same_crop_and_flip(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    item = mapped(tmp_path_factory.mktemp("pictures"), seed)
    views = MappedPictures([item], ["steel"], size=64, n_views=2, seed=seed)[seed % 7, 0]
    for picture, grid in zip(views.pictures, views.maps, strict=True):
        # Light changes brightness and sharpness, not what is where.
        both = torch.stack([picture.mean(dim=0).flatten(), grid.flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.95


def test_a_key_decides_the_views_and_leaves_other_randomness_alone(tmp_path: Path) -> None:
    data = MappedPictures([mapped(tmp_path, 2)], ["cast", "steel"], size=64, n_views=1, seed=5)
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    first = data[1, 0]
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(data[1, 0].pictures, first.pictures)
    assert not torch.equal(data[2, 0].pictures, first.pictures)
    assert first.targets.item() == 1


def test_batches_keep_pictures_and_maps_in_step(tmp_path: Path) -> None:
    maps = [mapped(tmp_path, 1), mapped(tmp_path, 4)]
    data = MappedPictures(maps, ["steel"], size=32, n_views=2)
    batch = collate([data[0, 0], data[0, 1]])
    assert batch.pictures.shape == (2, 2, 3, 32, 32)
    assert batch.maps.shape == (2, 2, 1, 32, 32)
    assert torch.equal(batch.maps[1], data[0, 1].maps)
