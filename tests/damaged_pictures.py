"""Picture files that are damaged or unusual, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SIZE = (48, 32)


def steel(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    """A smooth gradient with noise, RGB."""
    width, height = size
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    ramp = np.linspace(40, 200, width)[None, :, None]
    return Image.fromarray(np.clip(ramp + noise, 0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG whose header claims 30,000 x 30,000 pixels in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def flipped_png() -> bytes:
    data = bytearray(encode(steel(), "PNG"))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def padded_jpeg() -> bytes:
    """As a broken copy leaves it: full length, second half zeros."""
    data = encode(steel((200, 200)), "JPEG", quality=90)
    return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)


def half(kind: str) -> bytes:
    data = encode(steel((200, 200)), kind)
    return data[: len(data) // 2]


HEADER_DAMAGE: dict[str, Callable[[], bytes]] = {
    "zero_byte.jpg": lambda: b"",
    "text.png": lambda: b"this is not a picture\n" * 20,
    "html.jpg": lambda: b"<!DOCTYPE html><html>404</html>",
    "header_only.png": lambda: encode(steel(), "PNG")[:12],
    "header_only.jpg": lambda: encode(steel(), "JPEG")[:20],
    "bomb.png": bomb,
    "postscript.jpg": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "heif.heic": lambda: b"\x00\x00\x00\x18ftypheic" + bytes(100),
    "zeros.bmp": lambda: bytes(4096),
    "noise.tif": lambda: np.random.default_rng(1).bytes(4096),
}
BODY_DAMAGE: dict[str, Callable[[], bytes]] = {
    "half.jpg": lambda: half("JPEG"),
    "half.png": lambda: half("PNG"),
    "half.bmp": lambda: half("BMP"),
    "half.tif": lambda: half("TIFF"),
    "flipped.png": flipped_png,
    "padded.jpg": padded_jpeg,
}
