"""Uneven light on a relief, and the dark behind the sheet's edge."""

import math

import cv2
import numpy as np

from millsight.generators.procedural.noise import Field, Size, clouds, log_uniform


def illumination(rng: np.random.Generator, size: Size, angle: float) -> Field:
    """Brightness of the light over the view.

    Args:
        rng: source of randomness.
        size: (height, width) in pixels.
        angle: working direction of the steel; curved parts reflect the lamp as a band along it.

    Returns:
        float32 (height, width), positive, about 1.
    """
    height, width = size
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    turn = rng.uniform(0, 2 * math.pi)
    tilt = rng.uniform(0, 0.35)
    light = 1.0 + tilt * (x * math.cos(turn) + y * math.sin(turn))
    across = y * math.cos(angle) - x * math.sin(angle)
    for _ in range(int(rng.integers(0, 3))):
        centre, spread = rng.uniform(-1.1, 1.1), log_uniform(rng, 0.12, 0.7)
        light = light + rng.uniform(-0.15, 0.55) * np.exp(-(((across - centre) / spread) ** 2))
    light = light + rng.uniform(0, 0.1) * clouds(rng, size, (3, 3))
    if rng.random() < 0.25:
        # A round or bevelled part turns away from the lamp at its sides.
        light = light * (1.0 - rng.uniform(0.2, 0.8) * np.abs(across) ** rng.uniform(3, 12))
    radius = x**2 + y**2
    light = light * (1.0 - rng.uniform(0, 0.25) * radius)
    if rng.random() < 0.15:
        spot_x, spot_y, spread = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.15, 0.5)
        distance = (x - spot_x) ** 2 + (y - spot_y) ** 2
        light = light + rng.uniform(0.2, 0.9) * np.exp(-distance / spread**2)
    result: Field = np.maximum(light, 0.08).astype(np.float32)
    return result


def shade(relief: Field, azimuth: float, strength: float) -> Field:
    """Lambert-like shading of a relief by a low lamp.

    Args:
        relief: float32 (H, W), height in 256ths of the view.
        azimuth: direction the light comes from, radians from x towards y (down).
        strength: how much a slope of 1 changes the brightness.

    Returns:
        float32 (H, W) factor, 1 where the relief is flat; steep faces saturate.
    """
    scale = min(relief.shape) / 512.0
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=1, scale=scale)
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=1, scale=scale)
    facing = -strength * (slope_x * math.cos(azimuth) + slope_y * math.sin(azimuth))
    # Grazing light glints more than it darkens: the dark side has only itself to lose.
    factor: Field = np.where(facing > 0, 1 + 1.3 * np.tanh(facing), 1 + 0.8 * np.tanh(facing))
    return factor.astype(np.float32)


def background(rng: np.random.Generator, size: Size) -> Field:
    """What the camera sees past the sheet: nearly black, with a trace of the machine behind."""
    level = log_uniform(rng, 0.01, 0.12)
    traces = 1.0 + 0.5 * clouds(rng, size, (2, int(rng.integers(2, 8))))
    result: Field = (level * np.clip(traces, 0.2, 3.0)).astype(np.float32)
    return result
