"""Thin defects: scratches, cracks and crazing."""

import math

import numpy as np
from scipy.spatial import Voronoi

from millsight.generators.procedural.defects.damage import Damage, assemble, drop_small, groove
from millsight.generators.procedural.drawing import (
    Points,
    Stroke,
    draw_hairs,
    draw_strokes,
    straight_path,
)
from millsight.generators.procedural.noise import (
    Field,
    log_uniform,
    profile,
    spectral_noise,
)
from millsight.generators.procedural.surfaces import Surface


def place(rng: np.random.Generator, surface: Surface, margin: float = 0.12) -> tuple[float, float]:
    """A point (x, y) in pixels on the steel, `margin` of the view away from the border."""
    height, width = surface.size
    for _ in range(20):
        x, y = (rng.uniform(margin, 1 - margin, 2) * (width, height)).tolist()
        if surface.depth[int(y), int(x)] > 0.06 * surface.view:
            break
    return x, y


def _taper(rng: np.random.Generator, count: int) -> Points:
    t = np.linspace(0, 1, count)
    front, back = rng.uniform(0.04, 0.5, 2)
    taper: Points = np.minimum(np.minimum(t / front, (1 - t) / back), 1.0) ** 0.6
    return taper


def _scratch_stroke(
    rng: np.random.Generator, surface: Surface, centre: tuple[float, float], angle: float
) -> Stroke:
    length = surface.view * log_uniform(rng, 0.15, 1.3)
    path = straight_path(
        rng, centre, length, angle, bow=rng.normal(0, 0.03), tremble=rng.uniform(0, 0.004)
    )
    count = len(path)
    body = _taper(rng, count) * (1 + 0.2 * profile(rng, count, 8))
    width = log_uniform(rng, 0.9, 5.0) * surface.unit
    widths = np.maximum(width * body, 0.45)
    # The tool chatters: pressure, and with it the brightness, comes and goes along the way.
    tones = np.clip(0.75 + rng.uniform(0, 0.6) * profile(rng, count, 20), 0.15, 1)
    return Stroke(path, np.maximum(widths, min(width, 0.9) * 0.8), tones)


def scratch(rng: np.random.Generator, surface: Surface) -> Damage:
    """One to five furrows, tapering, bright or dark, with a burr along them."""
    along = rng.random() < 0.55
    angle = surface.angle + rng.normal(0, 0.03) if along else rng.uniform(0, math.pi)
    strokes = []
    centre = place(rng, surface)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 5]))):
        strokes.append(_scratch_stroke(rng, surface, centre, angle + rng.normal(0, 0.04)))
        step = rng.normal(0, 0.12, 2) * surface.view if rng.random() < 0.7 else None
        centre = place(rng, surface) if step is None else (centre[0] + step[0], centre[1] + step[1])
    coverage, tone = draw_strokes(surface.size, strokes)
    bright = rng.random() < (0.65 if surface.name != "cast" else 0.45)
    strength = log_uniform(rng, 0.25, 1.4) if bright else -log_uniform(rng, 0.18, 0.65)
    width = float(np.mean([stroke.widths.mean() for stroke in strokes]))
    depth = rng.uniform(0.2, 1.2) * min(width / surface.unit, 3.0)
    relief = groove(coverage, width, depth, rng.uniform(0, 0.6))
    return assemble(coverage, strength * tone, "linear", relief=relief)


def walk(
    rng: np.random.Generator, start: Points, heading: float, length: float, width: float
) -> Stroke:
    """A crack's course from `start` (xy pixels), thinning out over `length` pixels."""
    count = max(int(14 + 26 * rng.random()), 6)
    # Cracks turn at grains: mostly small turns, now and then a sharp one, and a lasting course.
    turns = rng.normal(0, 0.28, count) + (rng.random(count) < 0.15) * rng.normal(0, 0.8, count)
    course = heading + turns + 0.25 * profile(rng, count, 4)
    strides = length / count * rng.uniform(0.5, 1.5, count)
    steps = np.stack([np.cos(course), np.sin(course)], axis=1) * strides[:, None]
    path = np.vstack([start, start + np.cumsum(steps, axis=0)])
    taper = np.linspace(1.0, 0.25, count + 1) * (1 + 0.3 * profile(rng, count + 1, 14))
    widths = np.maximum(width * taper, 0.7)
    tones = np.clip(0.85 + 0.2 * profile(rng, count + 1, 10), 0.4, 1)
    return Stroke(path, widths, tones)


def _branches(
    rng: np.random.Generator, trunk: Stroke, heading: float, length: float, depth: int
) -> list[Stroke]:
    strokes: list[Stroke] = []
    for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):
        joint = int(rng.integers(len(trunk.points) // 5, len(trunk.points)))
        turn = heading + rng.choice([-1, 1]) * rng.uniform(0.35, 1.1)
        reach = length * rng.uniform(0.08, 0.3)
        width = float(trunk.widths[joint]) * 0.8
        branch = walk(rng, trunk.points[joint], turn, reach, width)
        strokes.append(branch)
        if depth > 0:
            strokes += _branches(rng, branch, turn, reach, depth - 1)
    return strokes


def crack(rng: np.random.Generator, surface: Surface) -> Damage:
    """A jagged, branching, dark fissure that runs out into a hair line at both ends."""
    heading = rng.uniform(0, 2 * math.pi)
    if rng.random() < 0.4:
        heading = surface.angle + rng.normal(0, 0.15)
    length = surface.view * log_uniform(rng, 0.2, 1.3)
    width = log_uniform(rng, 0.9, 3.2) * surface.unit
    start = np.array(place(rng, surface, 0.25))
    strokes: list[Stroke] = []
    for way in (heading, heading + math.pi):
        trunk = walk(rng, start, way, length * rng.uniform(0.4, 0.7), max(width, 0.8))
        strokes += [trunk, *_branches(rng, trunk, way, length, 1)]
    coverage, tone = draw_strokes(surface.size, strokes)
    coverage = drop_small(coverage, 4)
    strength = -log_uniform(rng, 0.2, 0.85)
    relief = groove(coverage, width, rng.uniform(0.2, 1.0), rng.uniform(0, 0.4))
    shape = "curved" if len(strokes) < 4 else "network-like"
    return assemble(coverage, strength * tone, shape, relief=relief)


def zone(rng: np.random.Generator, surface: Surface, share: float) -> Field:
    """A ragged region about `share` of the view wide, float32 (H, W), 1 inside, soft at its rim."""
    height, width = surface.size
    cx, cy = place(rng, surface)
    x = (np.arange(width, dtype=np.float32)[None, :] - cx) / surface.view
    y = (np.arange(height, dtype=np.float32)[:, None] - cy) / surface.view
    aspect = log_uniform(rng, 1.0, 4.0)
    cos, sin = math.cos(surface.angle), math.sin(surface.angle)
    along, across = (x * cos + y * sin) / aspect, y * cos - x * sin
    ragged = spectral_noise(rng, surface.size, low=2, high=20, slope=1.2)
    reach = np.hypot(along, across) / share + 0.25 * ragged
    soft: Field = np.clip((1.15 - reach) / 0.3, 0, 1).astype(np.float32)
    return soft


def _cell_borders(rng: np.random.Generator, surface: Surface, spacing: float) -> Points:
    """Borders of random cells `spacing` pixels wide over the view: (R, 2, 2) xy pixels."""
    height, width = surface.size
    squeeze = np.array([1.0, 0.6] if rng.random() < 0.5 else [0.8, 1.0])
    extent = np.array([width, height]) + 4 * spacing
    count = int(extent.prod() / spacing**2)
    seeds = rng.uniform(0, extent, (count, 2)) - 2 * spacing
    cells = Voronoi(seeds * squeeze)
    ridges = np.array(cells.ridge_vertices)
    borders: Points = cells.vertices[ridges[ridges.min(axis=1) >= 0]] / squeeze
    return borders


def crazing(rng: np.random.Generator, surface: Surface) -> Damage:
    """A net of fine angular cracks over part of the view or all of it, with meshes left open."""
    region = zone(rng, surface, rng.uniform(0.2, 0.8))
    spacing = max(log_uniform(rng, 10, 34) * surface.unit, 4.0)
    width = max(log_uniform(rng, 0.7, 1.9) * surface.unit, 0.8)
    borders = _cell_borders(rng, surface, spacing)
    lengths = np.linalg.norm(borders[:, 1] - borders[:, 0], axis=1)
    borders = borders[(rng.random(len(borders)) < rng.uniform(0.45, 0.9)) & (lengths < 3 * spacing)]
    lengths = np.linalg.norm(borders[:, 1] - borders[:, 0], axis=1)[:, None, None]
    t = np.linspace(0, 1, 6)[None, :, None]
    paths = borders[:, :1] * (1 - t) + borders[:, 1:] * t
    paths[:, 1:-1] += 0.09 * lengths * rng.standard_normal((len(borders), 4, 2))
    widths = np.maximum(width * rng.uniform(0.6, 1.5, len(borders)), 0.6)
    drawn, tone = draw_hairs(surface.size, paths, widths, rng.uniform(0.35, 1, len(borders)))
    coverage = drop_small(drawn * (region > 0.4), 10 * surface.unit + 3)
    strength = -log_uniform(rng, 0.22, 0.75)
    relief = groove(coverage, width, rng.uniform(0.1, 0.6), 0.0)
    return assemble(coverage, strength * tone * (coverage > 0), "network-like", relief=relief)
