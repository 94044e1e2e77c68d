"""The learning rate over a finetuning: a linear warm-up, then a cosine."""

from __future__ import annotations

import math

WARM_UP = 0.05


def rate(step: int, steps: int) -> float:
    """Return the factor of the learning rate at ``step`` of ``steps``."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
