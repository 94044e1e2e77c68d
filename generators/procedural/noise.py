"""Random fields that keep their look when the pixel size changes.

Frequencies are in cycles per view, where a view is the shorter side of the picture, so the same
settings show the same steel at 64 and at 512 pixels; what a coarse grid cannot hold is left out.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

cv2.setNumThreads(1)

Field = npt.NDArray[np.float32]
Size = tuple[int, int]


def _variance(low: float, high: float, slope: float) -> float:
    """Variance of a two-dimensional f^-slope field between two frequencies, up to a constant."""
    power = 2.0 - 2.0 * slope
    if abs(power) < 1e-3:
        return math.log(high / low)
    return float((high**power - low**power) / power)


def spectral_noise(
    rng: np.random.Generator,
    size: Size,
    *,
    low: float,
    high: float,
    slope: float = 1.0,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> Field:
    """Gaussian noise with amplitude f^-slope between two frequencies.

    Args:
        rng: source of randomness.
        size: (height, width) in pixels.
        low: lowest frequency kept, cycles per view.
        high: highest frequency kept, cycles per view; the part above Nyquist is lost, not folded.
        slope: exponent of the amplitude spectrum, 0 is white.
        stretch: how many times longer than wide the grains are.
        angle: direction the grains run in, radians from the x axis towards y (down).

    Returns:
        float32 (height, width), mean 0, standard deviation 1 less what Nyquist took away.
    """
    height, width = size
    view = min(size)
    white = rng.standard_normal(size, dtype=np.float32)
    fy = (fft.fftfreq(height) * view).astype(np.float32)[:, None]
    fx = (fft.rfftfreq(width) * view).astype(np.float32)[None, :]
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    frequency = np.hypot((fx * cos + fy * sin) * np.float32(stretch), fy * cos - fx * sin)
    # Soft shoulders instead of cut-offs: a sharp edge in the spectrum rings in the picture.
    amplitude = np.maximum(frequency, np.float32(low)) ** np.float32(-slope)
    amplitude *= 1.0 - np.exp(-((frequency / np.float32(low)) ** 4))
    amplitude *= np.exp(-((frequency / np.float32(high)) ** 4))
    field = fft.irfft2(fft.rfft2(white) * amplitude, s=size).astype(np.float32)
    held = min(high, max(view / 2.0, low * 1.01))
    share = _variance(low, held, slope) / _variance(low, high, slope)
    result: Field = field * np.float32(math.sqrt(share) / (float(field.std()) + 1e-9))
    return result


def clouds(rng: np.random.Generator, size: Size, cells: tuple[int, int]) -> Field:
    """Smooth value noise from a grid of `cells` (rows, columns); float32 (H, W), about unit scale.

    Cheaper than `spectral_noise` and right for light and stains, which have no fine structure.
    """
    grid = rng.standard_normal((cells[0] + 1, cells[1] + 1), dtype=np.float32)
    field = cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return field.astype(np.float32, copy=False)


def profile(rng: np.random.Generator, count: int, knots: int) -> npt.NDArray[np.float64]:
    """One-dimensional smooth noise, float64 (count,), unit variance, with about `knots` bends."""
    values = rng.standard_normal(knots + 2)
    return np.interp(np.linspace(0, knots + 1, count), np.arange(knots + 2), values)


def blur(field: Field, sigma: float) -> Field:
    """Gaussian blur with `sigma` in pixels; below 0.2 pixels the field comes back unchanged."""
    if sigma < 0.2:
        return field
    # A wide Gaussian on a coarser grid is the same picture for a fraction of the time.
    if sigma > 6:
        height, width = field.shape
        small = cv2.resize(field, (max(width // 4, 4), max(height // 4, 4)), interpolation=3)
        small = cv2.GaussianBlur(small, (0, 0), sigma / 4)
        coarse = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return coarse.astype(np.float32, copy=False)
    return cv2.GaussianBlur(field, (0, 0), sigma).astype(np.float32, copy=False)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between `low` and `high`, every octave equally likely."""
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))
