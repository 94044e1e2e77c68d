"""Drawn scratches and pits: real pictures with known answers, and samples, good and spoilt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from defect_materials import line, steel, write_defect, write_plate

from millsight.generators.filters.config import FilterConfig
from millsight.generators.samples import Generated, Mode, Request, SampleSpec
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import Sample

SIZE = (96, 96)
SPLITS = ("train",) * 8 + ("val", "test")
CONFIG = FilterConfig(least_side=32)


def scratch(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x, y, slope = rng.integers(10, 40), rng.integers(20, 70), rng.integers(-15, 15)
    return line(SIZE, (int(x), int(y)), (int(x) + 40, int(y + slope)), 2)


def pit(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE, np.uint8)
    for _ in range(4):
        centre = tuple(int(v) for v in rng.integers(30, 66, 2))
        cv2.ellipse(mask, centre, tuple(int(v) for v in rng.integers(3, 14, 2)), 0, 0, 360, 1, -1)
    return mask > 0


SHAPES = {"scratch": scratch, "pit": pit}
LEVELS = {"scratch": 40, "pit": 225}


def draw(seed: int, mask: np.ndarray, label: str, plate: np.ndarray | None = None) -> np.ndarray:
    picture = steel(seed, SIZE) if plate is None else plate.copy()
    grain = np.random.default_rng(seed).normal(0, 6, SIZE)
    picture[mask] = (LEVELS[label] + grain)[mask][:, None].clip(0, 255)
    return picture


def make(index: int, label: str, mode: Mode = "inpaint", **changed: object) -> Generated:
    """A sample as a good engine would make it; ``changed`` spoils it."""
    seed = 5000 + index
    plate, mask = steel(seed, SIZE), SHAPES[label](seed)
    picture = draw(seed, mask, label, plate)
    sample = Generated(Request(SampleSpec(label, mode=mode), index), picture, mask, (), plate)
    return replace(sample, **changed)


def drawn(number: int, label: str) -> tuple[np.ndarray, np.ndarray]:
    """The real defect with a number of its class: picture and mask."""
    seed = 100 * (1 + number) + len(label)
    mask = SHAPES[label](seed)
    return draw(seed, mask, label), mask


def write_catalog(folder: Path) -> Catalog:
    """Ten scratches and ten pits, of ten coils each, and eight good plates."""
    samples: list[Sample] = [write_plate(folder, f"p{i}", steel(i, SIZE)) for i in range(8)]
    for label in SHAPES:
        for number, split in enumerate(SPLITS):
            name = f"{label}{number}"
            sample = write_defect(folder, name, *drawn(number, label), label)
            samples.append(replace(sample, split=split))
    return Catalog(tuple(samples), uri=str(folder))
