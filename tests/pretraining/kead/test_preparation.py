from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from millsight.platform.errors import UserError
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.preparation import Preparation, divide_by_background

SQUASH = Preparation((64, 64), False, False, True, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_grey_values_are_normalised() -> None:
    white = np.full((30, 50, 3), 255, np.uint8)
    prepared = SQUASH(white)
    assert prepared.shape == (3, 64, 64)
    assert prepared.dtype == torch.float32
    assert torch.allclose(prepared, torch.full_like(prepared, 2.0))


@pytest.mark.parametrize(("shape", "target"), [((100, 100), (64, 64)), ((400, 100), (128, 64))])
def test_aspect_keeps_the_area_in_multiples_of_the_stride(
    shape: tuple[int, int], target: tuple[int, int]
) -> None:
    prepared = replace(SQUASH, keep_aspect=True)(np.zeros((*shape, 3), np.uint8))
    assert tuple(prepared.shape[1:]) == target


def test_light_that_falls_off_is_taken_away_and_a_defect_is_not() -> None:
    light = torch.linspace(60, 240, 128).expand(3, 128, 128).clone()
    steel = light.clone()
    steel[:, 60:66, 60:66] *= 0.5
    flat, scratched = divide_by_background(light), divide_by_background(steel)
    inner = (slice(None), slice(20, 108), slice(20, 108))
    assert flat[inner].std() < 0.15 * light[inner].std()
    assert scratched[:, 62, 62].mean() < 0.65 * flat[:, 62, 62].mean()


def test_auto_is_settled_by_the_encoder() -> None:
    cnn = KeADConfig().settled(vision_only=True, any_size=True)
    assert (cnn.resize, cnn.light, cnn.top_share) == ("aspect", "flattened", 0.05)
    clip = KeADConfig().settled(vision_only=False, any_size=False)
    assert (clip.resize, clip.light, clip.top_share) == ("squash", "as_is", 0.0)
    kept = KeADConfig(light="as_is", top_share=0.5).settled(vision_only=True, any_size=True)
    assert (kept.light, kept.top_share) == ("as_is", 0.5)
    with pytest.raises(UserError, match="resize: squash"):
        KeADConfig(resize="aspect").settled(vision_only=False, any_size=False)
