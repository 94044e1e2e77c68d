"""Defects made by the machine: roll marks and broken edges."""

import math

import numpy as np

from millsight.generators.procedural.defects.damage import Damage, assemble, groove
from millsight.generators.procedural.defects.lines import place, walk
from millsight.generators.procedural.drawing import (
    Points,
    blob,
    draw_outlines,
    draw_strokes,
)
from millsight.generators.procedural.noise import blur, clouds, log_uniform
from millsight.generators.procedural.surfaces import Surface


def _motif(rng: np.random.Generator, radius: float, angle: float) -> Points:
    """The print of a bruise on the roll, (K, 2) xy about the origin, pixels."""
    if rng.random() < 0.5:
        return blob(
            rng, (0.0, 0.0), radius, aspect=log_uniform(rng, 1.2, 5.0),
            angle=angle + rng.uniform(-1.2, 1.2), roughness=rng.uniform(0.1, 0.4),
        )  # fmt: skip
    # A crescent: the edge of something hard once went through between the rolls.
    turn = np.linspace(0.3, math.pi - 0.3, 20) + rng.uniform(0, 2 * math.pi)
    thick = rng.uniform(0.15, 0.45) * np.sin(np.linspace(0, math.pi, 20))
    outer = np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius * 1.5
    inner = outer * (1 - thick[:, None])
    return np.vstack([outer, inner[::-1]]) * (1 + 0.05 * rng.standard_normal((40, 1)))


def roll_mark(rng: np.random.Generator, surface: Surface) -> Damage:
    """The same dent again and again at the roll's circumference, along the working direction."""
    size = log_uniform(rng, 3, 13)
    period = surface.view * log_uniform(rng, 0.14, 0.45)
    motif = _motif(rng, max(size * surface.unit, 1.6), surface.angle)
    x, y = place(rng, surface)
    cos, sin = math.cos(surface.angle), math.sin(surface.angle)
    reach = int(max(surface.size) / period) + 1
    first, last = (-reach, reach) if rng.random() < 0.7 else (0, int(rng.integers(1, 4)))
    outlines, tones = [], []
    for step in range(first, last + 1):
        wobble = rng.normal(0, 0.004 * surface.view, 2)
        shift = np.array([x + step * period * cos, y + step * period * sin]) + wobble
        outlines.append(motif * rng.uniform(0.93, 1.07) + shift)
        tones.append(float(rng.uniform(0.6, 1.0)))
    coverage, tone = draw_outlines(surface.size, outlines, tones)
    radius = size * surface.unit
    strength = log_uniform(rng, 0.06, 0.45) * (-1 if rng.random() < 0.7 else 1)
    depth = rng.uniform(0.5, 1.6) * size / 3 * (1 if rng.random() < 0.75 else -1)
    relief = groove(coverage, 0.5 * radius, depth, rng.uniform(0, 0.5))
    return assemble(coverage, strength * blur(tone, 0.15 * radius), "spot-like", relief=relief)


def _edge_point(rng: np.random.Generator, surface: Surface) -> tuple[float, float]:
    """A point (x, y) in pixels on the sheet's edge, well inside the view where there is one."""
    height, width = surface.size
    inside = np.zeros(surface.size, np.bool_)
    inside[height // 6 : -(height // 6), width // 6 : -(width // 6)] = True
    near = np.abs(surface.depth)
    rows, columns = np.nonzero(inside & (near < 1.0))
    if len(rows) == 0:
        rows, columns = np.nonzero(near <= near.min() + 1.0)
    chosen = int(rng.integers(len(rows)))
    return float(columns[chosen]), float(rows[chosen])


def _bites(
    rng: np.random.Generator, surface: Surface, point: tuple[float, float], reach: float
) -> list[Points]:
    """Outlines of the missing steel: a round bite, or teeth torn one beside another."""
    normal = np.array(surface.edge_normal)
    tangent = np.array([-normal[1], normal[0]])
    facing = math.atan2(float(normal[1]), float(normal[0]))
    if rng.random() < 0.35:
        return [
            blob(rng, point, reach, aspect=log_uniform(rng, 0.4, 1.2), angle=facing, roughness=0.06)
        ]
    outlines = []
    for _ in range(int(rng.integers(1, 5))):
        centre = np.array(point) + tangent * rng.normal(0, 1.1) * reach
        size = reach * log_uniform(rng, 0.35, 1.0)
        outlines.append(
            blob(
                rng,
                (float(centre[0]), float(centre[1])),
                size,
                aspect=log_uniform(rng, 0.4, 2.0),
                angle=facing + rng.normal(0, 0.3),
                roughness=rng.uniform(0.15, 0.35),
            )
        )
    return outlines


def edge_break(rng: np.random.Generator, surface: Surface) -> Damage:
    """Steel missing at the sheet's edge, with a torn bright rim and sometimes a tear inwards."""
    reach = surface.view * log_uniform(rng, 0.03, 0.25)
    point = _edge_point(rng, surface)
    removed, _ = draw_outlines(
        surface.size, outlines := _bites(rng, surface, point, reach), [1.0] * len(outlines)
    )
    steel = np.clip(surface.depth + 0.5, 0, 1).astype(np.float32)
    if rng.random() < 0.4:
        facing = math.atan2(surface.edge_normal[1], surface.edge_normal[0])
        tear_width = max(log_uniform(rng, 1.0, 4.0) * surface.unit, 0.9)
        start, heading = np.array(point), facing + rng.normal(0, 0.4)
        course = walk(rng, start, heading, reach * rng.uniform(1.2, 3.0), tear_width)
        tear, _ = draw_strokes(surface.size, [course])
        removed = np.maximum(removed, tear)
    removed = removed * steel
    rim = blur(removed, rng.uniform(0.6, 2.2) * surface.unit + 0.3) * (1 - removed) * steel
    # Torn metal catches the light here and there, never as an even outline.
    rim *= np.clip(0.4 + 0.6 * clouds(rng, surface.size, (16, 16)), 0, 1.5)
    bright = rng.uniform(-0.4, 1.0)
    coverage = np.maximum(removed, np.clip(rim * 1.5, 0, 1) * (abs(bright) > 0.4))
    relief = groove(removed, 2.5 * surface.unit, rng.uniform(0.1, 1.2), 0.0)
    damage = assemble(coverage, bright * 2 * rim, "irregular", relief=relief)
    return Damage(damage.mask, damage.darkening, damage.relief, removed, damage.shape)
