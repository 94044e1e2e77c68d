"""The memory bank: patch tokens of a few normal pictures, and how far a picture is from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from millsight.pretraining.kead.features import Grid, PatchFeatures

CHUNK_TOKENS = 1024
"""Tokens searched at once: their similarities to a large bank stay within some 100 MB."""

MAP_SIDE = 32
"""Longest side of a stored map's grid: 32 x 32 float16 values are 2 KB."""


@dataclass(frozen=True, slots=True)
class MemoryBank:
    """Unit patch tokens of a category's normal pictures, layer by layer.

    Attributes:
        layers: One (P, C) float32 tensor per layer with unit rows, P the patches of all reference
            pictures together.
    """

    layers: tuple[Tensor, ...]

    @classmethod
    def build(cls, references: Iterable[PatchFeatures]) -> MemoryBank:
        """Gather the patch tokens of reference pictures, turned and mirrored copies included."""
        by_layer = zip(*(features.layers for features in references), strict=True)
        return cls(
            tuple(
                torch.cat([_unit(tokens.float().flatten(0, 1)) for tokens in layer])
                for layer in by_layer
            )
        )

    @classmethod
    def join(cls, banks: Sequence[MemoryBank]) -> MemoryBank:
        """Make one bank of several."""
        by_layer = zip(*(bank.layers for bank in banks), strict=True)
        return cls(tuple(torch.cat(layer) for layer in by_layer))

    def distances(self, features: PatchFeatures) -> tuple[Tensor, ...]:
        """Measure each patch's distance to the nearest remembered one.

        F_l(p) = 0.5 * min over the bank of (1 - cos) (eq. 5). The paper writes a maximum; it means
        the similarity to the nearest neighbour.

        Returns:
            One (B, N) tensor per layer, in [0, 1].
        """
        return tuple(
            0.5 * (1.0 - _nearest_similarity(tokens, bank))
            for tokens, bank in zip(features.layers, self.layers, strict=True)
        )

    def anomaly_map(self, features: PatchFeatures) -> Tensor:
        """Average the layers' distances on one grid: F (eq. 5).

        Returns:
            (B, h, w), the grid of ``map_grid``.
        """
        return mean_map(self.distances(features), features.grids)


def mean_map(layers: Sequence[Tensor], grids: Sequence[Grid]) -> Tensor:
    """Average per-patch values of several layers, (B, N_l) each, into one map (B, h, w).

    Layers on another grid are interpolated bilinearly between cell centres first.
    """
    grid = map_grid(grids)
    total = torch.zeros(())
    for values, own in zip(layers, grids, strict=True):
        layer_map = values.view(-1, *own)
        if own != grid:
            layer_map = functional.interpolate(
                layer_map[:, None], grid, mode="bilinear", align_corners=False, antialias=True
            )[:, 0]
        total = layer_map if total.ndim == 0 else total + layer_map
    return total / len(layers)


def map_grid(grids: Sequence[Grid]) -> Grid:
    """Choose the grid of a map: the finest one whose longer side is at most ``MAP_SIDE``.

    Where every layer's grid is finer than that, the coarsest.
    """
    fitting = [grid for grid in grids if max(grid) <= MAP_SIDE]
    return max(fitting) if fitting else min(grids)


def _nearest_similarity(tokens: Tensor, bank: Tensor) -> Tensor:
    """Cosine (B, N) between each token (B, N, C) and the most similar row of the bank (P, C)."""
    queries: Tensor = tokens.flatten(0, 1).to(bank.dtype)
    # Dividing by the length after the search spares a pass over the tokens: the length does not
    # change which neighbour is nearest.
    starts = range(0, len(queries), CHUNK_TOKENS)
    chunks = (queries[start : start + CHUNK_TOKENS] for start in starts)
    best = torch.cat([(chunk @ bank.T).amax(dim=1) for chunk in chunks])
    # A CNN's features can all be zero where a picture is black.
    lengths = torch.linalg.vector_norm(queries, dim=1).clamp_min(torch.finfo(queries.dtype).tiny)
    cosines: Tensor = (best / lengths).clamp(-1.0, 1.0)
    return cosines.view(tokens.shape[:2])


def _unit(tokens: Tensor) -> Tensor:
    return functional.normalize(tokens, dim=-1)
