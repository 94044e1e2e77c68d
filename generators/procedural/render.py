"""From a seed to a labelled picture of steel."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from millsight.generators.procedural.camera import photograph
from millsight.generators.procedural.captions import defect_captions, good_captions, views_of
from millsight.generators.procedural.defects import DEFECTS, Damage
from millsight.generators.procedural.light import background, illumination, shade
from millsight.generators.procedural.noise import Field, Size
from millsight.generators.procedural.rendering import (
    Rendering,
    component_boxes,
    describe,
    local_contrast,
)
from millsight.generators.procedural.surfaces import SURFACES, Surface, make_surface
from millsight.platform.errors import UserError

GOOD = "good"
GOOD_SHARE = 0.25
SMALLEST, LARGEST = 64, 512


@dataclass(frozen=True)
class _Scene:
    """Steel, light and lens, ready to be photographed with or without the damage."""

    surface: Surface
    light: Field
    behind: Field
    azimuth: float
    strength: float
    camera: np.random.SeedSequence

    def photograph(self, damage: Damage | None) -> npt.NDArray[np.uint8]:
        """uint8 (H, W); the same lens noise whatever the damage."""
        steel = np.clip(self.surface.depth + 0.5, 0, 1).astype(np.float32)
        relief, reflectance = self.surface.relief, self.surface.reflectance
        exposure = float((reflectance * self.light)[steel > 0.5].mean())
        if damage is not None:
            relief = relief + damage.relief
            reflectance = np.maximum(reflectance * (1 + damage.darkening), np.float32(0.02))
            steel = steel * (1 - damage.removed)
        lit = reflectance * shade(relief, self.azimuth, self.strength) * self.light
        radiance = (lit * steel + self.behind * (1 - steel)).astype(np.float32)
        return photograph(np.random.default_rng(self.camera), radiance, exposure)


def _check(size: Size, surface: str | None, defect: str | None) -> None:
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise UserError(f"size {size}: both sides must be {SMALLEST} to {LARGEST} pixels.")
    if surface is not None and surface not in SURFACES:
        raise UserError(f"surface {surface!r} is unknown; choose one of {', '.join(SURFACES)}.")
    if defect is not None and defect not in (GOOD, *DEFECTS):
        known = ", ".join((GOOD, *DEFECTS))
        raise UserError(f"defect {defect!r} is unknown; choose one of {known}.")


def _draw(
    seed: int, size: Size, surface: str | None, defect: str | None
) -> tuple[_Scene, Damage | None, str, np.random.Generator]:
    """Everything a seed decides; each part has its own stream, so one never shifts another."""
    rng = np.random.default_rng(seed)
    choice, steel_rng, light_rng, damage_rng, text_rng, camera_rng = rng.spawn(6)
    drawn_surface = str(choice.choice(SURFACES))
    drawn_defect = GOOD if choice.random() < GOOD_SHARE else str(choice.choice(list(DEFECTS)))
    label = defect or drawn_defect
    steel = make_surface(steel_rng, size, surface or drawn_surface, show_edge=label == "edge_break")
    light = illumination(light_rng, size, steel.angle)
    behind = background(light_rng, size)
    azimuth, strength = light_rng.uniform(0, 2 * math.pi), light_rng.uniform(0.25, 1.3)
    camera = np.random.SeedSequence(int(camera_rng.integers(2**62)))
    scene = _Scene(steel, light, behind, azimuth, strength, camera)
    if label == GOOD:
        return scene, None, label, text_rng
    damage = DEFECTS[label](damage_rng, steel)
    # A stroke may all but leave the steel; another draw of the same stream puts it back.
    while np.count_nonzero(damage.mask[steel.depth > 0]) < 4:
        damage = DEFECTS[label](damage_rng, steel)
    return scene, damage, label, text_rng


def _label(
    scene: _Scene,
    damage: Damage | None,
    label: str,
    picture: npt.NDArray[np.uint8],
    text_rng: np.random.Generator,
) -> Rendering:
    surface = scene.surface
    if damage is None:
        empty = np.zeros(surface.size, np.bool_)
        boxes = np.zeros((0, 4), np.float32)
        captions = good_captions(text_rng, surface.name, views_of(picture))
        return Rendering(picture, empty, label, boxes, surface.name, {}, captions)
    mask = damage.mask & (surface.depth > 0)
    boxes = component_boxes(mask)
    attributes = describe(picture, mask, label, damage.shape, boxes)
    contrast = local_contrast(picture, mask, surface.depth > 0)
    captions = defect_captions(text_rng, surface.name, attributes, contrast, views_of(picture))
    return Rendering(picture, mask, label, boxes, surface.name, attributes, captions)


def render(
    seed: int,
    *,
    size: Size = (256, 256),
    surface: str | None = None,
    defect: str | None = None,
) -> Rendering:
    """Render one labelled picture of steel.

    Args:
        seed: decides everything that is not given; the same arguments give the same bytes.
        size: (height, width) in pixels, 64 to 512 each.
        surface: one of `SURFACES`, or None to draw it.
        defect: "good", a key of `DEFECTS`, or None to draw it (a quarter are good).

    Returns:
        The picture with mask, boxes, label and text.

    Raises:
        UserError: the size, surface or defect is not one of those.

    Example:
        >>> rendering = render(7, size=(96, 96), surface="rolled", defect="scratch")
        >>> rendering.picture.shape, bool(rendering.mask.any())
        ((96, 96), True)
    """
    _check(size, surface, defect)
    scene, damage, label, text_rng = _draw(seed, size, surface, defect)
    return _label(scene, damage, label, scene.photograph(damage), text_rng)


def render_pair(
    seed: int,
    *,
    size: Size = (256, 256),
    surface: str | None = None,
    defect: str | None = None,
) -> tuple[Rendering, npt.NDArray[np.uint8]]:
    """`render`, and the same steel, light and lens without the damage: uint8 (H, W).

    Arguments and errors are those of `render`.
    """
    _check(size, surface, defect)
    scene, damage, label, text_rng = _draw(seed, size, surface, defect)
    return _label(scene, damage, label, scene.photograph(damage), text_rng), scene.photograph(None)
