"""What an encoder gives, whatever it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

Grid = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PatchFeatures:
    """Patch tokens of the chosen layers of a batch of B pictures.

    Attributes:
        layers: One (B, N, C) tensor per layer, row-major over that layer's grid, not normalised.
        grids: ``(height, width)`` of each layer's grid, N = height * width. A ViT has one grid for
            all layers; a CNN's shrink with depth. The grid covers the whole picture.
        class_token: (B, C) embedding of the whole picture in the space of the text embeddings;
            ``None`` for a vision-only encoder.
    """

    layers: tuple[torch.Tensor, ...]
    grids: tuple[Grid, ...]
    class_token: torch.Tensor | None = None

    def select(self, rows: Sequence[int]) -> PatchFeatures:
        """Keep some of the batch's pictures."""
        token = self.class_token
        return PatchFeatures(
            tuple(layer[list(rows)] for layer in self.layers),
            self.grids,
            None if token is None else token[list(rows)],
        )


def evenly_spaced(depth: int, count: int) -> tuple[int, ...]:
    """Choose ``count`` of ``depth`` blocks, evenly spaced and ending at the last.

    Returns:
        Block numbers counted from 1, ascending.

    Examples:
        >>> evenly_spaced(12, 4), evenly_spaced(32, 4), evenly_spaced(3, 4)
        ((3, 6, 9, 12), (8, 16, 24, 32), (1, 2, 3))
    """
    count = min(count, depth)
    return tuple(round(depth * step / count) for step in range(1, count + 1))
