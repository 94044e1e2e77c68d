"""Flawless steel: rolled, ground and cast, as reflectance and relief before any light."""

import math
from dataclasses import dataclass

import numpy as np

from millsight.generators.procedural.noise import Field, Size, clouds, log_uniform, spectral_noise

SURFACES = ("rolled", "ground", "cast")


@dataclass(frozen=True)
class Surface:
    """A piece of steel without light on it.

    Attributes:
        name: one of `SURFACES`.
        reflectance: float32 (H, W), about 1.
        relief: float32 (H, W), height in 256ths of the view.
        angle: working direction (rolling, grinding), radians from x towards y (down).
        depth: float32 (H, W), pixels from the sheet's edge, positive on the steel; a sheet that
            fills the view is positive everywhere.
        edge_normal: unit xy vector from the background into the steel.
    """

    name: str
    reflectance: Field
    relief: Field
    angle: float
    depth: Field
    edge_normal: tuple[float, float]

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        height, width = self.reflectance.shape
        return height, width

    @property
    def view(self) -> int:
        """Shorter side in pixels."""
        return min(self.size)

    @property
    def unit(self) -> float:
        """Pixels per 256th of the view."""
        return self.view / 256.0


def _rolled(rng: np.random.Generator, size: Size, angle: float) -> tuple[Field, Field]:
    hot = rng.random() < 0.45
    grain_strength = log_uniform(rng, 0.06, 0.25) if hot else log_uniform(rng, 0.01, 0.05)
    grain_angle = angle + (rng.normal(0, 0.5) if rng.random() < 0.3 else 0.0)
    grain = spectral_noise(
        rng, size, low=log_uniform(rng, 3, 20), high=150, slope=rng.uniform(0.2, 0.8),
        stretch=log_uniform(rng, 1.0, 5.0), angle=grain_angle,
    )  # fmt: skip
    bands = spectral_noise(
        rng, size, low=1.0, high=rng.uniform(10, 60), slope=rng.uniform(0.7, 1.2),
        stretch=log_uniform(rng, 12, 80), angle=angle,
    )  # fmt: skip
    mottle = spectral_noise(rng, size, low=2, high=24, slope=1.2, stretch=2, angle=angle)
    reflectance = 1.0 + grain_strength * grain + log_uniform(rng, 0.015, 0.1) * bands
    reflectance += log_uniform(rng, 0.01, 0.09 if hot else 0.03) * mottle
    return reflectance, np.float32(log_uniform(rng, 0.01, 0.05)) * grain


def _ground(rng: np.random.Generator, size: Size, angle: float) -> tuple[Field, Field]:
    fine = spectral_noise(
        rng, size, low=rng.uniform(6, 25), high=180, slope=rng.uniform(0.0, 0.5),
        stretch=log_uniform(rng, 8, 200), angle=angle,
    )  # fmt: skip
    streaks = spectral_noise(
        rng, size, low=8, high=180, slope=0.1, stretch=log_uniform(rng, 15, 90), angle=angle
    )
    broad = spectral_noise(rng, size, low=1, high=14, slope=1.0, stretch=25, angle=angle)
    strength = log_uniform(rng, 0.05, 0.2)
    reflectance = 1.0 + strength * fine + log_uniform(rng, 0.03, 0.12) * broad
    # Single grains of the wheel leave a few marks that glint; the rest stays matt.
    glints = np.maximum(streaks - np.float32(rng.uniform(0.9, 2.0)), 0)
    reflectance += log_uniform(rng, 0.1, 1.1) * glints
    return reflectance, np.float32(0.02) * fine


def _cast(rng: np.random.Generator, size: Size, angle: float) -> tuple[Field, Field]:
    lumps = spectral_noise(
        rng, size, low=rng.uniform(3, 10), high=rng.uniform(40, 110), slope=rng.uniform(0.9, 1.5)
    )
    grit = spectral_noise(rng, size, low=8, high=150, slope=rng.uniform(0.0, 0.6))
    skin = spectral_noise(
        rng, size, low=1.5, high=20, slope=1.3, stretch=rng.uniform(1, 2), angle=angle
    )
    reflectance = 1.0 + log_uniform(rng, 0.01, 0.06) * skin + log_uniform(rng, 0.02, 0.12) * grit
    # Sand leaves hollows rather than hills, so the deep side of the relief is the longer one.
    hollows = np.where(lumps < 0, lumps * np.float32(1.4), lumps * np.float32(0.7))
    relief = log_uniform(rng, 0.12, 0.5) * hollows + log_uniform(rng, 0.005, 0.04) * grit
    return reflectance, relief.astype(np.float32)


_BUILDERS = {"rolled": _rolled, "ground": _ground, "cast": _cast}
_EDGE_SHARE = {"rolled": 0.22, "ground": 0.2, "cast": 0.12}


def _edge(
    rng: np.random.Generator, size: Size, angle: float, shown: bool
) -> tuple[Field, tuple[float, float]]:
    """Depth field of one straight sheet edge along the working direction, or across it."""
    height, width = size
    tilt = angle + rng.normal(0, 0.02) + (math.pi / 2 if rng.random() < 0.2 else 0.0)
    side = 1.0 if rng.random() < 0.5 else -1.0
    normal = (-math.sin(tilt) * side, math.cos(tilt) * side)
    reach = (abs(normal[0]) * width + abs(normal[1]) * height) / 2
    offset = rng.uniform(0.3, 0.88) * reach
    if not shown:
        return np.full(size, 1e4, np.float32), normal
    x = np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2
    y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
    depth = x * normal[0] + y * normal[1] + offset
    return depth.astype(np.float32), normal


def _stains(rng: np.random.Generator, size: Size) -> Field:
    """Faint water marks and specks of dust that good steel carries too."""
    factor = np.ones(size, np.float32)
    if rng.random() < 0.3:
        cells = (int(rng.integers(2, 7)), int(rng.integers(2, 7)))
        factor += np.float32(rng.uniform(-0.05, 0.03)) * (clouds(rng, size, cells) > 0.8)
    for _ in range(int(rng.poisson(1.5))):
        y, x = int(rng.integers(size[0])), int(rng.integers(size[1]))
        factor[y : y + max(1, min(size) // 200), x : x + max(1, min(size) // 200)] *= np.float32(
            1 + rng.uniform(-0.25, 0.25)
        )
    return factor


def make_surface(rng: np.random.Generator, size: Size, name: str, *, show_edge: bool) -> Surface:
    """Draw a flawless piece of steel.

    Args:
        rng: source of randomness.
        size: (height, width) in pixels.
        name: one of `SURFACES`.
        show_edge: force the sheet's edge into view; otherwise it is there now and then.

    Returns:
        The surface.
    """
    angle = (math.pi / 2 if rng.random() < 0.8 else 0.0) + rng.normal(0, 0.015)
    reflectance, relief = _BUILDERS[name](rng, size, angle)
    reflectance *= _stains(rng, size)
    edge_in_view = bool(rng.random() < _EDGE_SHARE[name])
    depth, normal = _edge(rng, size, angle, show_edge or edge_in_view)
    reflectance = np.maximum(reflectance, np.float32(0.05)).astype(np.float32)
    return Surface(name, reflectance, relief, angle, depth, normal)
