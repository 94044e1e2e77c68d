"""A middling camera: exposure, tone, blur, noise, line-scan stripes and JPEG."""

import cv2
import numpy as np
import numpy.typing as npt

from millsight.generators.procedural.noise import Field, blur, log_uniform


def photograph(
    rng: np.random.Generator, radiance: Field, reference: float
) -> npt.NDArray[np.uint8]:
    """Take a grey picture.

    Args:
        rng: source of randomness; the same draws are made whatever the scene.
        radiance: float32 (H, W), light arriving at the lens.
        reference: radiance the exposure is set for, so that a defect does not change it.

    Returns:
        uint8 (H, W).
    """
    unit = min(radiance.shape) / 256.0
    focus = log_uniform(rng, 0.25, 0.8) + rng.uniform(0, 0.7) * unit * (rng.random() < 0.4)
    level = float(np.clip(rng.normal(0.46, 0.17), 0.13, 0.9))
    contrast = log_uniform(rng, 0.6, 1.9)
    relative = blur(radiance, focus) / np.float32(reference)
    signal = level * np.maximum(1.0 + contrast * (relative - 1.0), 0.0)
    signal = np.where(signal > 0.8, 0.8 + 0.25 * np.tanh((signal - 0.8) / 0.25), signal)
    signal = _noise(rng, signal.astype(np.float32))
    picture = (np.clip(signal, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return _compress(rng, picture)


def _noise(rng: np.random.Generator, signal: Field) -> Field:
    shot, read = log_uniform(rng, 0.004, 0.035), log_uniform(rng, 0.002, 0.012)
    spread = np.sqrt(shot**2 * np.maximum(signal, 0) + read**2).astype(np.float32)
    noisy = signal + spread * rng.standard_normal(signal.shape, dtype=np.float32)
    stripes = rng.standard_normal((1, signal.shape[1]), dtype=np.float32)
    if rng.random() < 0.3:
        noisy = noisy + np.float32(rng.uniform(0.001, 0.012)) * stripes
    return noisy


def _compress(rng: np.random.Generator, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    compressed, quality = rng.random() < 0.7, int(rng.integers(45, 96))
    if not compressed:
        return picture
    _, stream = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(stream, cv2.IMREAD_GRAYSCALE)
    return np.asarray(decoded, dtype=np.uint8)
