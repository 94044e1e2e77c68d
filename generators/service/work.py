"""What sets take of their token's day: pixels that are drawn, times the steps done, in millions.

Guidance, which makes a step two passes through the network, is not counted, nor are the filters,
nor what fills up a batch that is not full.
"""

from __future__ import annotations

from millsight.generators.production.commands import ENGINES, GenerateSampleConfig
from millsight.generators.samples import Generated, Materials, steps_done


def most_of_a_try(config: GenerateSampleConfig, materials: Materials, side: int) -> float:
    """Return the most that one try can take.

    Args:
        config: With a base model, every square that a picture may have counts.
        materials: Of its class; ``copy_paste`` counts the largest plate.
        side: Of the base model's squares, pixels.
    """
    spec = config.spec
    match ENGINES[spec.mode]:
        case "diffusion":
            crops = 1 if spec.mode == "text" else config.diffusion.crops
            strength = 1.0 if spec.mode == "text" else spec.strength
            return crops * side**2 * steps_done(spec.steps, strength) / 1e6
        case "procedural":
            return config.procedural.size**2 / 1e6
    sizes = ((one.width or 0) * (one.height or 0) for one in materials.plates)
    return max(sizes, default=0) / 1e6


def of_a_picture(made: Generated) -> float:
    """Return what a picture took; without a base model each of its pixels counts once."""
    told = made.provenance
    if told["engine"] != "diffusion":
        return made.mask.size / 1e6
    # A picture from nothing but words is one square.
    squares = len(told["squares"]) or 1
    return squares * int(told["side"]) ** 2 * steps_done(told["steps"], told["strength"]) / 1e6
