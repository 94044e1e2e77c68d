import numpy as np
import pytest

from millsight.generators.diffusion.crops import cut, cut_mask, fading, lay, to_uint8
from millsight.platform.catalog.pictures import is_grey


def test_a_patch_laid_back_unscaled_gives_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    square = (7, 5, 32)
    levels = np.zeros_like(picture, dtype=np.float32)
    whole = np.ones(picture.shape[:2], np.float32)
    lay(levels, cut(picture, square, 32).astype(np.float32), square, whole)
    assert np.array_equal(to_uint8(levels)[5:37, 7:39], picture[5:37, 7:39])
    assert not levels[:5].any()
    assert not levels[:, :7].any()


@pytest.mark.parametrize("side", [8, 64])
def test_a_hair_line_is_in_the_scaled_mask(side):
    mask = np.zeros((64, 64), np.bool_)
    mask[30, 10:50] = True
    scaled = cut_mask(mask, (0, 0, 64), side)
    assert scaled.shape == (side, side)
    assert scaled[30 * side // 64].sum() >= 40 * side // 64
    assert cut_mask(mask, (16, 20, 16), 32).any()


def test_sides_within_the_picture_fade_and_those_at_its_border_do_not():
    alpha = fading((0, 10, 32), (64, 32))
    assert (alpha[26] == 1).all()
    assert alpha[10, 16] < alpha[11, 16] < alpha[12, 16] < 1
    assert not alpha[:10].any()
    assert (fading((0, 0, 32), (32, 32)) == 1).all()


def test_grey_is_three_equal_channels():
    grey = np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4, 1), 3, axis=2)
    assert is_grey(grey)
    grey[0, 0, 2] += 1
    assert not is_grey(grey)


def test_rounding_stays_in_range():
    assert to_uint8(np.array([-3.0, 0.6, 255.4, 300.0], np.float32)).tolist() == [0, 1, 255, 255]
