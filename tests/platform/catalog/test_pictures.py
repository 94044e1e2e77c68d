from __future__ import annotations

import io
import os
from pathlib import Path

import damaged_pictures as damaged
import numpy as np
import pytest
from PIL import Image, ImageOps

from millsight.platform.catalog.pictures import (
    PictureError,
    decode_picture,
    open_mask,
    open_picture,
    probe_picture,
)


@pytest.mark.parametrize("name", damaged.HEADER_DAMAGE)
def test_broken_headers_are_found_by_the_probe(name: str) -> None:
    with pytest.raises(PictureError) as raised:
        probe_picture(damaged.HEADER_DAMAGE[name]())
    assert len(str(raised.value)) > 5


@pytest.mark.parametrize("name", damaged.BODY_DAMAGE)
def test_broken_bodies_are_found_when_decoded(name: str) -> None:
    data = damaged.BODY_DAMAGE[name]()
    assert min(probe_picture(data)) > 0
    with pytest.raises(PictureError, match=r"corrupt|truncated"):
        decode_picture(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("seed", range(3))
def test_random_damage_raises_nothing_but_picture_errors(kind: str, seed: int) -> None:
    data = damaged.encode(damaged.steel(), kind)
    random = np.random.default_rng(seed)
    for _ in range(60):
        broken = bytearray(data)
        for position in random.integers(0, len(data), 3):
            broken[position] = random.integers(256)
        try:
            probe_picture(bytes(broken))
            picture = decode_picture(bytes(broken[: random.integers(1, len(data))]))
        except PictureError:
            continue
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3


def test_reasons_name_what_is_wrong() -> None:
    reasons = {}
    for name in ("zero_byte.jpg", "html.jpg", "bomb.png", "heif.heic"):
        with pytest.raises(PictureError) as raised:
            decode_picture(damaged.HEADER_DAMAGE[name]())
        reasons[name] = str(raised.value)
    assert "0 bytes" in reasons["zero_byte.jpg"]
    assert "HTML" in reasons["html.jpg"]
    assert "pixels" in reasons["bomb.png"]
    assert "HEIF" in reasons["heif.heic"]


def test_pixel_limit_is_checked_before_decoding() -> None:
    data = damaged.encode(damaged.steel((40, 30)), "PNG")
    assert decode_picture(data, max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(PictureError, match="40x30 is more than 1,199 pixels"):
        probe_picture(data, max_pixels=1199)


def test_what_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no such file"):
        open_picture(str(tmp_path / "absent.png"))
    with pytest.raises(PictureError, match="not a file"):
        open_picture(str(tmp_path))
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match="not a file"):
        open_picture(str(tmp_path / "pipe.png"))
    (tmp_path / "link.png").symlink_to(tmp_path / "absent.png")
    with pytest.raises(PictureError, match="no such file"):
        open_picture(str(tmp_path / "link.png"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    stored = damaged.steel()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = damaged.encode(stored, kind, exif=exif, **options)
    plain = Image.open(io.BytesIO(damaged.encode(stored, kind, **options)))
    plain.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(plain).convert("RGB"))
    picture = decode_picture(data)
    assert np.array_equal(picture, expected)
    assert probe_picture(data) == (picture.shape[1], picture.shape[0])


@pytest.mark.parametrize(("bits", "kind"), [(12, "TIFF"), (12, "PNG"), (16, "PNG"), (10, "TIFF")])
def test_16_bit_grey_keeps_the_sensors_range(bits: int, kind: str) -> None:
    values = np.linspace(0, 2**bits - 1, 64 * 8).reshape(8, 64).astype(np.uint16)
    picture = decode_picture(damaged.encode(Image.fromarray(values), kind))
    assert np.array_equal(picture[:, :, 0], values >> (bits - 8))
    assert np.array_equal(picture[:, :, 0], picture[:, :, 2])


def test_tiff_states_its_range() -> None:
    values = np.full((4, 4), 900, np.uint16)
    data = damaged.encode(Image.fromarray(values), "TIFF", tiffinfo={281: 4095})
    assert (decode_picture(data) == 900 >> 4).all()
    assert (decode_picture(damaged.encode(Image.fromarray(values), "TIFF")) == 900 >> 2).all()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (-3, 4000)])
def test_float_tiff(low: float, high: float) -> None:
    values = np.linspace(low, high, 1000, dtype=np.float32).reshape(10, 100)
    grey = decode_picture(damaged.encode(Image.fromarray(values), "TIFF"))[:, :, 0]
    assert grey.min() == 0
    assert grey.max() == 255
    assert (np.diff(grey.ravel().astype(int)) >= 0).all()


def test_float_tiff_without_a_number() -> None:
    data = damaged.encode(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF")
    with pytest.raises(PictureError, match="finite"):
        decode_picture(data)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("P", "PNG"), ("L", "BMP"), ("LA", "PNG"), ("RGBA", "PNG"), ("P", "GIF")],
)
def test_modes_become_rgb(mode: str, kind: str) -> None:
    image = damaged.steel()
    picture = decode_picture(damaged.encode(image.convert(mode), kind))
    assert picture.shape == (32, 48, 3)
    expected = np.asarray(image.convert(mode).convert("RGB")).astype(int)
    assert np.abs(picture.astype(int) - expected).mean() < 12


def test_one_bit_and_transparency() -> None:
    checks = np.indices((8, 8)).sum(0) % 2 == 0
    picture = decode_picture(damaged.encode(Image.fromarray(checks), "PNG"))
    assert np.array_equal(picture[:, :, 0], np.where(checks, 255, 0))
    clear = Image.new("RGBA", (5, 4), (10, 20, 30, 0))
    assert (decode_picture(damaged.encode(clear, "PNG")) == 255).all()


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("L", (6, 5), value) for value in (40, 200)]
    data = damaged.encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.abs(decode_picture(data).astype(int) - 40).max() <= 2


def test_masks(tmp_path: Path) -> None:
    soft = np.array([[0, 127, 128, 255]], np.uint8)
    Image.fromarray(soft).save(tmp_path / "soft.png")
    mask = open_mask(str(tmp_path / "soft.png"), (4, 1))
    assert mask.dtype == bool
    assert mask.tolist() == [[False, False, True, True]]
    with pytest.raises(PictureError, match="mask is 4x1 pixels, its picture 1x4"):
        open_mask(str(tmp_path / "soft.png"), (1, 4))
    Image.fromarray(soft // 255).save(tmp_path / "ones.png")
    assert open_mask(str(tmp_path / "ones.png"), (4, 1)).tolist() == [[False, False, False, True]]


def test_any_filesystem() -> None:
    import fsspec

    data = damaged.encode(damaged.steel(), "PNG")
    fsspec.filesystem("memory").pipe_file("/pictures/one.png", data)
    assert np.array_equal(open_picture("memory://pictures/one.png"), decode_picture(data))
