from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_diffusion import write_tiny_sd

from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.sampler import Sampler
from millsight.generators.diffusion.untrained import Layout
from millsight.generators.samples import Materials
from millsight.platform.catalog.sample import GOOD, Sample


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random text-to-image pipeline with a 4-channel U-Net."""
    return write_tiny_sd(tmp_path_factory.mktemp("tiny_sd") / "base")


@pytest.fixture(scope="session")
def tiny_sd_inpaint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random inpainting pipeline with a 9-channel U-Net."""
    folder = tmp_path_factory.mktemp("tiny_sd_inpaint") / "base"
    return write_tiny_sd(folder, Layout(in_channels=9))


@pytest.fixture(scope="session")
def sampler(tiny_sd: Path) -> Sampler:
    """A loaded base model; tests leave no adapter active."""
    return Sampler.load(open_base(str(tiny_sd)), batch_size=4)


@pytest.fixture(scope="session")
def inpainting_sampler(tiny_sd_inpaint: Path) -> Sampler:
    return Sampler.load(open_base(str(tiny_sd_inpaint)), batch_size=4)


@pytest.fixture(scope="session")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    """Grey steel, wider than high: three clean plates and three scratches with masks."""
    return steel(tmp_path_factory.mktemp("steel"), grey=True)


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return steel(tmp_path_factory.mktemp("coloured"), grey=False)


def steel(folder: Path, *, grey: bool) -> Materials:
    rng = np.random.default_rng(0)
    plates, defects = [], []
    for number in range(3):
        tint = (0, 0, 0) if grey else (12, 0, -12)
        noise = rng.normal(140, 6, (80, 112, 1)).clip(0, 255)
        plate = (noise + np.array(tint)).clip(0, 255).astype(np.uint8)
        mask = np.zeros(plate.shape[:2], np.uint8)
        cv2.line(mask, (20, 20 + 10 * number), (90, 50), 255, 2)
        scratched = np.where(mask[..., None] > 0, plate // 3, plate)
        pictures = {"plate": plate, "defect": scratched, "mask": mask}
        names = {name: str(folder / f"{name}{number}.png") for name in pictures}
        for name, pixels in pictures.items():
            shown = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
            cv2.imwrite(names[name], shown)
        size = {"category": "steel", "split": "train", "width": 112, "height": 80}
        plates.append(Sample(f"p{number}", names["plate"], label=GOOD, **size))
        own = Sample(f"d{number}", names["defect"], label="scratch", mask_uri=names["mask"], **size)
        defects.append(own)
    return Materials(tuple(plates), tuple(defects))
