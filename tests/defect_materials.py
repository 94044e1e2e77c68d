"""Small plates and defects on disk, as the engines take them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from millsight.generators.masks.morphology import Mask
from millsight.generators.samples import Materials
from millsight.platform.catalog.sample import Sample


def steel(seed: int, size: tuple[int, int], level: float = 130, deviation: float = 6) -> np.ndarray:
    """Grey steel with grain: ``(H, W, 3)`` uint8, equal channels."""
    noise = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), 1.0)
    grey = np.clip(level + deviation * grain / grain.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def line(size: tuple[int, int], start: tuple[int, int], end: tuple[int, int], width: int) -> Mask:
    """A straight mask between two ``(x, y)``."""
    drawn = cv2.line(np.zeros(size, np.uint8), start, end, 1, width)
    return np.asarray(drawn) > 0


def write(path: Path, picture: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[:, :, ::-1] if picture.ndim == 3 else picture)
    return str(path)


def write_plate(
    folder: Path, name: str, picture: np.ndarray, label: str = "good", **known: object
) -> Sample:
    uri = write(folder / f"{name}.png", picture)
    height, width = picture.shape[:2]
    size = {"width": width, "height": height}
    return Sample(name, uri, "steel", "train", f"coil-{name}", label, **size, **known)


def write_defect(folder: Path, name: str, picture: np.ndarray, mask: Mask, label: str) -> Sample:
    uri = write(folder / f"{name}_mask.png", mask.astype(np.uint8) * 255)
    return write_plate(folder, name, picture, label, mask_uri=uri)


def write_materials(folder: Path, label: str = "scratch") -> Materials:
    """Three plates of two sizes and brightnesses; three dark defects, one at the right side."""
    plates = [
        write_plate(folder, f"plate{i}", steel(i, size, level))
        for i, (size, level) in enumerate((((80, 96), 130), ((64, 64), 90), ((80, 96), 180)))
    ]
    masks = (
        line((72, 88), (20, 20), (50, 30), 3),
        line((72, 88), (60, 40), (87, 44), 1),
        line((72, 88), (30, 50), (34, 54), 5),
    )
    defects = []
    for i, mask in enumerate(masks):
        picture = steel(10 + i, mask.shape, 150)
        picture[mask] = 40
        defects.append(write_defect(folder, f"defect{i}", picture, mask, label))
    return Materials(tuple(plates), tuple(defects))
