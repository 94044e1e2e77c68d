from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from millsight.generators.diffusion.base import BaseModel, open_base
from millsight.generators.diffusion.pipelines import load_pipeline
from millsight.generators.diffusion.training.config import AdaptationConfig
from millsight.generators.diffusion.training.crops import Crop, choose, cut_crops
from millsight.generators.diffusion.training.latents import Latents, encode_crops
from millsight.generators.diffusion.training.module import AdaptationModule
from millsight.generators.diffusion.training.tokens import speak_of
from millsight.platform.catalog.catalog import Catalog, content_id
from millsight.platform.catalog.sample import Sample

LABELS = ("rolled-in_scale", "scratch")
SETTINGS = AdaptationConfig(
    steps=8,
    check_every=4,
    batch_size=2,
    rank=2,
    learning_rate=1e-2,
    least_psnr=0,
    judged=2,
    judged_steps=2,
)
SPLITS = ("train", "train", "train", "val", "val")


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Sums of several threads round otherwise, and tiny networks are faster without them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def defects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalog file: grey pictures of 80 x 96 with masks, of two classes in two splits."""
    folder = tmp_path_factory.mktemp("defects")
    random = np.random.default_rng(0)
    samples = [
        _write(folder, f"{label}_{number}", random, label, split)
        for label in ("scratch", "rolled-in_scale")
        for number, split in enumerate(SPLITS)
    ]
    Catalog(tuple(samples), uri=str(folder)).write(folder / "defects.parquet")
    return folder / "defects.parquet"


def _write(folder: Path, name: str, random: np.random.Generator, label: str, split: str) -> Sample:
    picture = random.normal(120, 8, (80, 96)).clip(0, 255).astype(np.uint8)
    mask = np.zeros_like(picture)
    x, y = (int(at) for at in random.integers(10, 50, 2))
    if label == "scratch":
        cv2.line(mask, (x, y), (x + 30, y + 8), 255, 2)
    else:
        cv2.circle(mask, (x + 8, y + 8), 7, 255, -1)
    picture[mask > 0] = 220 if label == "scratch" else 40
    paths = folder / f"{name}.png", folder / f"{name}_mask.png"
    for path, pixels in zip(paths, (picture, mask), strict=True):
        cv2.imwrite(str(path), pixels)
    return Sample(
        id=content_id(paths[0].read_bytes()),
        uri=str(paths[0]),
        category="steel",
        split=split,
        label=label,
        mask_uri=str(paths[1]),
        mask_id=content_id(paths[1].read_bytes()),
        width=96,
        height=80,
    )


@pytest.fixture(scope="session")
def tiny_base(tiny_sd: Path) -> BaseModel:
    """The random text-to-image pipeline, recognised."""
    return open_base(str(tiny_sd))


@pytest.fixture(scope="session")
def crops(defects: Path) -> list[Crop]:
    """Crops of 64 px of both classes' training pictures."""
    samples = choose(Catalog.read(defects), LABELS, "train", 1)
    return cut_crops(samples, LABELS, 64, context=0.5, most=4, progress=lambda *_: None)


@pytest.fixture(scope="session")
def latents(tiny_base: BaseModel, crops: list[Crop]) -> Latents:
    """Their latents, mirrored as well."""
    return encode_crops(load_pipeline(tiny_base).vae, crops, SETTINGS, lambda *_: None)


@pytest.fixture
def settings() -> AdaptationConfig:
    """Two epochs of four steps, tokens frozen from the fifth."""
    return replace(SETTINGS)


@pytest.fixture
def build(tiny_base: BaseModel) -> Callable[[AdaptationConfig], AdaptationModule]:
    """Make a module around a fresh copy of the base model."""

    def build(config: AdaptationConfig) -> AdaptationModule:
        pipeline = load_pipeline(tiny_base)
        return AdaptationModule(pipeline, speak_of(LABELS, config), config, 64)

    return build
