"""Round defects: pits, blowholes and oil spots."""

import math

import numpy as np

from millsight.generators.procedural.defects.damage import Damage, assemble, groove
from millsight.generators.procedural.defects.lines import place
from millsight.generators.procedural.drawing import Points, blob, draw_outlines
from millsight.generators.procedural.noise import blur, clouds, log_uniform, spectral_noise
from millsight.generators.procedural.surfaces import Surface


def _pit_centres(rng: np.random.Generator, surface: Surface, count: int) -> Points:
    """Pits gather: in a cluster, in a strip along the working direction, or all over."""
    height, width = surface.size
    x, y = place(rng, surface)
    kind = rng.random()
    if kind < 0.45:
        spread = surface.view * log_uniform(rng, 0.04, 0.2)
        return np.array([x, y]) + rng.normal(0, spread, (count, 2))
    if kind < 0.75:
        along = rng.uniform(-0.6, 0.6, count) * surface.view
        aside = rng.normal(0, 0.04, count) * surface.view
        cos, sin = math.cos(surface.angle), math.sin(surface.angle)
        return np.stack([x + along * cos - aside * sin, y + along * sin + aside * cos], axis=1)
    return rng.uniform(0, 1, (count, 2)) * (width, height)


def pit(rng: np.random.Generator, surface: Surface) -> Damage:
    """Clustered small hollows with a lit and a shadowed rim."""
    count = int(log_uniform(rng, 3, 200))
    size = log_uniform(rng, 1.2, 4.5) / (1.0 if count < 25 else 1.6)
    centres = _pit_centres(rng, surface, count)
    centres[0] = place(rng, surface)
    outlines, tones = [], []
    for centre in centres:
        radius = max(size * surface.unit * log_uniform(rng, 0.55, 1.8), 0.75)
        outline = blob(
            rng, (float(centre[0]), float(centre[1])), radius, aspect=log_uniform(rng, 1, 2.2),
            angle=surface.angle + rng.normal(0, 0.4), roughness=0.2,
        )  # fmt: skip
        outlines.append(outline)
        tones.append(float(rng.uniform(0.5, 1.0)))
    coverage, tone = draw_outlines(surface.size, outlines, tones)
    radius = max(size * surface.unit, 0.75)
    strength = -log_uniform(rng, 0.18, 0.75)
    relief = groove(coverage, radius * 1.4, rng.uniform(0.5, 1.8) * size / 2, rng.uniform(0.1, 0.6))
    return assemble(coverage, strength * blur(tone, 0.3 * radius), "spot-like", relief=relief)


def blowhole(rng: np.random.Generator, surface: Surface) -> Damage:
    """One to three gas holes: a black mouth with a sharp rim and a lit far wall."""
    outlines, tones = [], []
    size = log_uniform(rng, 2.2, 9)
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        radius = max(size * surface.unit * rng.uniform(0.6, 1.2), 1.3)
        outlines.append(
            blob(
                rng,
                place(rng, surface),
                radius,
                aspect=log_uniform(rng, 1, 1.9),
                angle=rng.uniform(0, math.pi),
                roughness=rng.uniform(0.03, 0.25),
            )
        )
        tones.append(float(rng.uniform(0.7, 1.0)))
    coverage, tone = draw_outlines(surface.size, outlines, tones)
    radius = size * surface.unit
    # The mouth falls off steeply and the floor is out of the light, unevenly so.
    floor = np.clip(1.0 + 0.3 * clouds(rng, surface.size, (24, 24)), 0.5, 1.3)
    strength = -rng.uniform(0.35, 0.85)
    relief = groove(coverage, 0.7 * radius, rng.uniform(0.1, 0.7) * size / 2, rng.uniform(0, 0.4))
    darkening = np.maximum(strength * blur(tone, 0.1 * radius) * floor, -0.97)
    return assemble(coverage, darkening, "circular", relief=relief)


def oil_spot(rng: np.random.Generator, surface: Surface) -> Damage:
    """Smooth films of lubricant with a clear outline, sometimes drawn out along the strip."""
    outlines = []
    size = log_uniform(rng, 5, 32)
    stretch = log_uniform(rng, 1.0, 3.5)
    centre = place(rng, surface)
    for _ in range(int(rng.choice([1, 1, 2, 3, 4]))):
        outlines.append(
            blob(
                rng,
                centre,
                max(size * surface.unit * log_uniform(rng, 0.4, 1.2), 1.5),
                aspect=stretch,
                angle=surface.angle + rng.normal(0, 0.15),
                roughness=rng.uniform(0.02, 0.12),
            )
        )
        step = rng.normal(0, 0.2, 2) * surface.view
        centre = (centre[0] + step[0], centre[1] + step[1])
    coverage, _ = draw_outlines(surface.size, outlines, [1.0] * len(outlines))
    depth = blur(coverage, 0.25 * size * surface.unit) * coverage
    rim = coverage - depth
    sheen = spectral_noise(rng, surface.size, low=2, high=12, slope=1.0)
    strength = -log_uniform(rng, 0.1, 0.55)
    darkening = strength * coverage * (1 + 0.15 * sheen)
    darkening = darkening + rng.uniform(-0.35, 0.2) * rim
    return assemble(coverage, darkening, "circular" if stretch < 1.6 else "elongated")
