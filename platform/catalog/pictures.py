"""Safe decoding of picture files that nobody has vouched for.

Everything becomes 8-bit RGB, upright. What cannot be decoded raises ``PictureError`` with a reason
that a person can act on; callers turn it into a ``Quarantined`` entry.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from millsight.platform import storage
from millsight.platform.errors import UserError

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
MAX_PIXELS = 100_000_000
TRANSPOSED = frozenset({5, 6, 7, 8})
BIT_DEPTHS = (8, 10, 12, 14, 16)
TIFF_MAX_SAMPLE_VALUE = 281
MASK_THRESHOLD = 127
OTHER_FORMATS = {
    b"%!PS": "PostScript",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"ftyp": "HEIF, AVIF or video",
    b"<svg": "SVG",
    b"<htm": "HTML",
    b"<!DO": "HTML",
    b"jP  ": "JPEG 2000",
}

# Pillow warns about pictures above 89 megapixels and odd metadata; both are judged here.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class PictureError(Exception):
    """A file that does not give a picture; the message is the reason, without the file's name."""


def open_picture(uri: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a picture.

    16-bit grey is shifted by the file's own bit range: TIFF's MaxSampleValue where given, else the
    smallest of 8, 10, 12, 14 and 16 bits that holds the largest value, so that a 12-bit camera's
    picture in a 16-bit file keeps its full contrast. 16-bit colour keeps the high byte. Float
    pictures in [0, 1] are scaled by 255, those in [0, 255] are taken as they are, others are
    stretched linearly between their 0.1 and 99.9 percentiles. Transparent parts are laid over
    white. Of an animation, the first frame counts.

    Args:
        uri: Path or fsspec address.
        max_pixels: Larger pictures are refused before any pixel is decoded.

    Returns:
        Array of shape (H, W, 3), uint8, RGB, upright (EXIF orientation applied).

    Raises:
        PictureError: If the file is missing, not a file, empty, corrupt, truncated, of a format
            outside ``FORMATS``, or larger than ``max_pixels``.
    """
    return decode_picture(read_picture_bytes(uri), max_pixels=max_pixels)


def reopen_picture(uri: str) -> np.ndarray:
    """Decode a picture that an earlier step has read; see ``open_picture``.

    Raises:
        UserError: If it cannot be read any more.
    """
    try:
        return open_picture(uri)
    except PictureError as error:
        raise UserError(
            f"{uri}: {error}. It was there and whole before: put it back and run the same command "
            "again, or make what names it again without it."
        ) from None


def decode_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a picture held in memory; see ``open_picture``."""
    return _to_rgb(_load(data, max_pixels))


def probe_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Check a picture's header without decoding its pixels.

    A truncated body passes: it shows when the picture is decoded.

    Args:
        data: The whole file.
        max_pixels: As for ``open_picture``.

    Returns:
        ``(width, height)`` in pixels, upright.

    Raises:
        PictureError: If the header is unreadable, the format not allowed, or the picture too large.
    """
    image = _open(data, max_pixels)
    width, height = image.size
    if image.format != "TIFF" and _orientation(image) in TRANSPOSED:
        return height, width
    return width, height


def open_mask(uri: str, size: tuple[int, int]) -> np.ndarray:
    """Decode a mask.

    Foreground is > 127 in any channel, so soft edges count from their middle. A mask that holds
    only 0 and 1 is taken to mean background and foreground.

    Args:
        uri: Path or fsspec address.
        size: ``(width, height)`` of the upright picture it belongs to.

    Returns:
        Array of shape (H, W), bool, true where foreground.

    Raises:
        PictureError: If it does not decode, or its size differs from ``size``.
    """
    # Several times as fast as the maximum over an axis of three.
    red, green, blue = np.moveaxis(open_picture(uri), 2, 0)
    mask = np.maximum(np.maximum(red, green), blue)
    height, width = mask.shape
    if (width, height) != tuple(size):
        raise PictureError(f"mask is {width}x{height} pixels, its picture {size[0]}x{size[1]}")
    foreground: np.ndarray = mask > (0 if mask.max() == 1 else MASK_THRESHOLD)
    return foreground


def read_picture_bytes(uri: str) -> bytes:
    """Read a picture file whole, undecoded.

    Raises:
        PictureError: If it is missing, not a file, or unreadable.
    """
    fs, path = storage.filesystem(uri)
    try:
        # A named pipe would block for ever, and only the local filesystem can hold one.
        if storage.is_local(fs) and fs.exists(path) and fs.info(path)["type"] != "file":
            raise PictureError("not a file")
        return storage.read_bytes(uri)
    except FileNotFoundError:
        raise PictureError("no such file") from None
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from None


def require_pictures(uris: Sequence[str], flag: str, way_out: str) -> None:
    """Refuse pictures of which some are no longer there; looks once into each of their folders.

    Args:
        uris: Paths or fsspec addresses.
        flag: What named them.
        way_out: What to do where they cannot be put back.

    Raises:
        UserError: With how many are missing, and one of them.
    """
    held: dict[str, set[str]] = {}
    missing = []
    for uri in uris:
        folder = uri.rpartition("/")[0]
        if folder not in held:
            held[folder] = _names(folder)
        if uri.rpartition("/")[2] not in held[folder]:
            missing.append(uri)
    if missing:
        raise UserError(
            f"{flag}: {len(missing)} of its {len(uris)} pictures are not where they were, such as "
            f"{missing[0]}; put them back, or {way_out}."
        )


def _names(folder: str) -> set[str]:
    fs, path = storage.filesystem(folder)
    try:
        return {str(name).rstrip("/").rpartition("/")[2] for name in fs.ls(path, detail=False)}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def is_grey(picture: np.ndarray) -> bool:
    """Say whether the three channels of ``(H, W, 3)`` are equal."""
    return bool((picture == picture[:, :, :1]).all())


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise PictureError("empty file (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise PictureError(_unidentified(data)) from None
    except Image.DecompressionBombError:
        raise PictureError(f"more than {max_pixels:,} pixels") from None
    # Pillow's format plugins let any exception out on a damaged header.
    except Exception as error:
        raise PictureError(f"damaged header: {_text(error)}") from None
    width, height = image.size
    if width * height > max_pixels:
        raise PictureError(f"{width}x{height} is more than {max_pixels:,} pixels")
    return image


def _load(data: bytes, max_pixels: int) -> Image.Image:
    image = _open(data, max_pixels)
    try:
        if image.format == "PNG":
            # Pillow skips the checksums of the pixel data unless asked.
            _open(data, max_pixels).verify()
        image.load()
    except Exception as error:
        raise PictureError(f"corrupt or truncated: {_text(error)}") from None
    if image.format in {"JPEG", "MPO"} and not _jpeg_has_end(data):
        raise PictureError("truncated: JPEG without its end marker")
    try:
        # Pillow turns TIFF upright while loading; the others are turned here.
        return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)
    except Exception as error:
        raise PictureError(f"damaged EXIF data: {_text(error)}") from None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    # Broken EXIF data does not make the pixels unreadable.
    except Exception:
        return 1


def _jpeg_has_end(data: bytes) -> bool:
    """Look for the end marker after the pixel data began; a file padded with zeros has none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:
            at += 1
            continue
        if data[at + 1] == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return True


def _to_rgb(image: Image.Image) -> np.ndarray:
    try:
        if image.mode.startswith("I;16"):
            grey = _from_integers(np.asarray(image).astype(np.uint16), _stated_maximum(image))
        elif image.mode == "I":
            grey = _from_wide_integers(np.asarray(image), _stated_maximum(image))
        elif image.mode == "F":
            grey = _from_floats(np.asarray(image))
        else:
            return _from_8_bit(image)
    except (ValueError, OSError) as error:
        raise PictureError(f"cannot be converted from mode {image.mode}: {_text(error)}") from None
    return np.repeat(grey[:, :, None], 3, axis=2)


def _from_8_bit(image: Image.Image) -> np.ndarray:
    if image.mode in {"LA", "La", "PA", "RGBa"} or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _stated_maximum(image: Image.Image) -> int:
    tags: Any = getattr(image, "tag_v2", {})
    value = tags.get(TIFF_MAX_SAMPLE_VALUE, 0)
    return int(max(value) if isinstance(value, tuple) else value)


def _from_integers(values: np.ndarray, stated: int) -> np.ndarray:
    top = max(int(values.max()), stated)
    bits = next(depth for depth in BIT_DEPTHS if top < 2**depth)
    return (values >> (bits - 8)).astype(np.uint8)


def _from_wide_integers(values: np.ndarray, stated: int) -> np.ndarray:
    if values.min() >= 0 and max(int(values.max()), stated) < 2**16:
        return _from_integers(values.astype(np.uint16), stated)
    return _stretch(values.astype(np.float32))


def _from_floats(values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    if not finite.any():
        raise PictureError("no finite pixel value")
    values = np.where(finite, values, values[finite].min())
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return np.round(values * 255).astype(np.uint8)
    if low >= 0 and high <= 255:
        return np.round(values).astype(np.uint8)
    return _stretch(values)


def _stretch(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, [0.1, 99.9])
    scaled = (values - low) / max(float(high - low), np.finfo(np.float32).tiny)
    stretched: np.ndarray = np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return stretched


def _unidentified(data: bytes) -> str:
    for magic, name in OTHER_FORMATS.items():
        if magic in data[:12]:
            return f"unsupported format: {name}; supported are {', '.join(FORMATS)}"
    return "not a picture, or its header is damaged"


def _text(error: Exception) -> str:
    return (str(error) or type(error).__name__).split("\n", maxsplit=1)[0][:200]
