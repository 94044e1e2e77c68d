"""The micro pipeline that is shipped."""

from __future__ import annotations

import importlib.resources

import numpy as np
import pytest
import torch

from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.pipelines import load_pipeline

MEGABYTE = 10**6
CLASSES = ("patch", "crazing", "blowhole")


@pytest.fixture(scope="module")
def base():
    return open_base("embedded:micro-diffusion")


def test_it_may_be_used_for_anything(base):
    assert base.license.name == "apache-2.0"


def test_it_is_small_enough_to_ship_with_the_micro_clip():
    shipped = [
        importlib.resources.files("millsight.generators.diffusion.micro") / "pipeline",
        importlib.resources.files("millsight.pretraining.micro_clip") / "weights",
    ]
    sizes = [path.stat().st_size for folder in shipped for path in folder.rglob("*.*")]
    assert sum(sizes) < 30 * MEGABYTE


def test_it_draws_what_it_is_told(base):
    pipeline = load_pipeline(base)
    drawn = pipeline(
        [f"a photo of a rolled steel surface with {name} defect" for name in CLASSES] * 2,
        num_inference_steps=8,
        guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(seed) for seed in (0, 0, 0, 1, 1, 1)],
        output_type="np",
    ).images
    assert drawn.shape == (6, base.side, base.side, 3)
    for start in (0, 3):
        patch, crazing, blowhole = drawn[start : start + 3]
        assert min(np.abs(patch - crazing).mean(), np.abs(patch - blowhole).mean()) > 0.02
    assert all(picture.std() > 0.02 for picture in drawn)
