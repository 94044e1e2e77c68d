"""Defects that cover an area: inclusions, patches and scale."""

import math

import numpy as np

from millsight.generators.procedural.defects.damage import Damage, assemble, drop_small, groove
from millsight.generators.procedural.defects.lines import place, zone
from millsight.generators.procedural.drawing import blob, draw_outlines
from millsight.generators.procedural.noise import blur, log_uniform, spectral_noise
from millsight.generators.procedural.surfaces import Surface


def inclusion(rng: np.random.Generator, surface: Surface) -> Damage:
    """Slag rolled out along the working direction: dark ragged spindles, now and then glinting."""
    outlines, tones = [], []
    size = log_uniform(rng, 2.5, 12)
    centre = place(rng, surface)
    stretch = log_uniform(rng, 2.5, 14) if surface.name != "cast" else log_uniform(rng, 1, 3)
    for _ in range(int(rng.choice([1, 1, 2, 3, 6]))):
        radius = max(size * surface.unit * log_uniform(rng, 0.5, 1.5), 1.1)
        outlines.append(
            blob(
                rng,
                centre,
                radius,
                aspect=stretch * rng.uniform(0.7, 1.4),
                angle=surface.angle + rng.normal(0, 0.06),
                roughness=rng.uniform(0.25, 0.6),
            )
        )
        tones.append(float(rng.uniform(0.5, 1.0)))
        step = rng.normal(0, 0.1, 2) * surface.view
        centre = (centre[0] + step[0], centre[1] + step[1])
    drawn, tone = draw_outlines(surface.size, outlines, tones)
    fray = spectral_noise(
        rng, surface.size, low=10, high=90, slope=0.6, stretch=6, angle=surface.angle
    )
    coverage = drop_small(drawn * np.clip(1.1 + 0.5 * fray, 0, 1).astype(np.float32), 3)
    strength = -log_uniform(rng, 0.22, 0.8)
    darkening = strength * blur(tone, rng.uniform(0.2, 1.6) * surface.unit) * (coverage > 0.02)
    if rng.random() < 0.3:
        darkening = darkening + rng.uniform(0.4, 1.2) * coverage * (fray > 1.3)
    relief = groove(coverage, 2 * surface.unit, rng.uniform(0, 1.0), 0.0)
    return assemble(coverage, darkening, "elongated" if stretch > 2 else "irregular", relief=relief)


def patch(rng: np.random.Generator, surface: Surface) -> Damage:
    """Blotches of another tone with a wavering outline and a mottled inside."""
    size = log_uniform(rng, 0.05, 0.32)
    along = zone(rng, surface, size)
    for _ in range(int(rng.choice([0, 0, 1, 1, 3]))):
        along = np.maximum(along, zone(rng, surface, size * rng.uniform(0.4, 1.0)))
    crumbs = spectral_noise(
        rng, surface.size, low=2, high=log_uniform(rng, 15, 150), slope=rng.uniform(1.5, 2.2),
        stretch=log_uniform(rng, 1, 5), angle=surface.angle,
    )  # fmt: skip
    level = along - 0.5 + rng.uniform(0.1, 0.35) * crumbs * (along > 0.01)
    coverage = np.clip(level * log_uniform(rng, 1.2, 5) + 0.5, 0, 1).astype(np.float32)
    coverage = blur(coverage, rng.uniform(0, 3.0) * surface.unit * (rng.random() < 0.6))
    coverage = drop_small(coverage, 10 * surface.unit**2 + 2)
    inside = 1 + rng.uniform(0.05, 0.3) * spectral_noise(rng, surface.size, low=6, high=70)
    dark = rng.random() < 0.8
    strength = -log_uniform(rng, 0.14, 0.7) if dark else log_uniform(rng, 0.12, 0.6)
    return assemble(coverage, strength * coverage * inside, "patch-like")


def scale(rng: np.random.Generator, surface: Surface) -> Damage:
    """Flakes of oxide pressed into the steel: many small, angular, with a lit and a dark side."""
    region = zone(rng, surface, rng.uniform(0.15, 0.9))
    finest = log_uniform(rng, 14, 60)
    flakes = spectral_noise(
        rng, surface.size, low=finest / 3, high=finest, slope=0.8,
        stretch=log_uniform(rng, 1.0, 3.0), angle=surface.angle + rng.normal(0, 0.5),
    )  # fmt: skip
    ragged = 0.25 * spectral_noise(rng, surface.size, low=finest, high=128, slope=0.5)
    density = rng.uniform(0.7, 1.7)
    level = flakes + ragged - density - 2.5 * (1 - region)
    level += max(0.0, 0.3 - float(level.max()))
    coverage = np.clip(level * 4 * max(surface.unit, 0.4), 0, 1).astype(np.float32)
    coverage = drop_small(coverage, 5 * surface.unit**2 + 2)
    bright = rng.random() < 0.12
    strength = log_uniform(rng, 0.1, 0.4) if bright else -log_uniform(rng, 0.12, 0.6)
    width = 256 / finest * 0.35 * surface.unit
    lift = -rng.uniform(0.3, 1.4) if rng.random() < 0.6 else rng.uniform(0.3, 1.4)
    relief = groove(coverage, width, lift, 0.0)
    mottled = np.clip(1 + 0.4 * math.copysign(1, strength) * ragged * 4, 0.4, 1.5)
    return assemble(coverage, strength * coverage * mottled, "fragmented", relief=relief)
