"""What unlabelled pictures have in common: a patch is normal if most other pictures have its like.

Mutual scoring after MuSc (Li et al., ICLR 2024, arXiv 2401.16753). It needs no label, and it is not
the few-shot protocol: pictures without a known label are looked at before anything is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from millsight.platform.catalog.sample import Sample
from millsight.pretraining.kead.features import PatchFeatures
from millsight.pretraining.kead.memory_bank import MemoryBank, mean_map

NEAREST_SHARE = 0.5
"""Share of the other pictures, the nearest, that a patch's distance is averaged over; MuSc: 0.3."""

MEAN_SHARE = 0.5
"""How much of the mean token is taken off every token before they are compared."""

DIMENSIONS = 64
"""A token's length once reduced; what bounds memory and time."""

CHUNK_CELLS = 1 << 22
"""Similarities computed at once: 16 MB of them."""

FIELDS = ("center", "directions", "tokens")


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """Which picture it is, so that none is compared with itself.

    Attributes:
        content: Id of the file's bytes or of the pixels.
        object: The physical object, whose other pictures show the same defects; the content's id
            where it is unknown.
    """

    content: str
    object: str

    @classmethod
    def of(cls, sample: Sample) -> Identity:
        """Identify a catalog's picture by the file's bytes, and by its group where it has one."""
        return cls(sample.id, sample.group or sample.id)

    @classmethod
    def of_pixels(cls, picture: np.ndarray) -> Identity:
        """Identify a decoded picture by its pixels."""
        content = hashlib.sha256(picture.tobytes()).hexdigest()
        return cls(content, content)


@dataclass(frozen=True, slots=True)
class UnlabelledLayer:
    """One layer's patch tokens of U unlabelled pictures, reduced.

    Attributes:
        center: (C,), half of the mean unit token.
        directions: (C, d), in which the tokens differ most.
        tokens: (U, P, d) float32, unit rows. A picture of fewer than P patches repeats one of them.
    """

    center: Tensor
    directions: Tensor
    tokens: Tensor

    @classmethod
    def build(cls, pictures: Sequence[Tensor]) -> UnlabelledLayer:
        """Find the directions and reduce.

        Args:
            pictures: One (N, C) tensor per picture.
        """
        units = functional.normalize(torch.cat(list(pictures)).float(), dim=-1)
        center = MEAN_SHARE * units.mean(dim=0)
        directions = _main_directions(functional.normalize(units - center, dim=-1))
        empty = cls(center, directions, units.new_zeros(0, 0, 0))
        reduced = [empty.reduce(tokens) for tokens in pictures]
        longest = max(len(tokens) for tokens in reduced)
        # A repeated patch changes no nearest neighbour, so pictures of any shape lie in one tensor.
        padded = [
            torch.cat([tokens, tokens[:1].expand(longest - len(tokens), -1)]) for tokens in reduced
        ]
        return cls(center, directions, torch.stack(padded))

    def reduce(self, tokens: Tensor) -> Tensor:
        """Reduce tokens of any length, (..., C), to unit rows (..., d)."""
        units = functional.normalize(tokens.float(), dim=-1)
        centred = functional.normalize(units - self.center, dim=-1)
        return functional.normalize(centred @ self.directions, dim=-1)

    def distances(self, tokens: Tensor) -> Tensor:
        """Measure each reduced token's distance to the nearest patch of each unlabelled picture.

        Args:
            tokens: (B, N, d).

        Returns:
            0.5 * (1 - cos), (B, N, U), in [0, 1].
        """
        pictures, patches, _ = self.tokens.shape
        known = self.tokens.flatten(0, 1).T
        queries = torch.split(tokens.flatten(0, 1), max(1, CHUNK_CELLS // known.shape[1]))
        nearest = [(chunk @ known).view(-1, pictures, patches).amax(dim=2) for chunk in queries]
        cosines = torch.cat(nearest).clamp(-1.0, 1.0)
        return 0.5 * (1.0 - cosines).view(*tokens.shape[:2], pictures)


@dataclass(frozen=True, slots=True)
class UnlabelledPictures:
    """Reduced patch tokens of a category's unlabelled pictures.

    Attributes:
        layers: One per layer of the encoder.
        identities: int64 (U, 2), what ``number`` gives.
    """

    layers: tuple[UnlabelledLayer, ...]
    identities: Tensor

    @classmethod
    def build(cls, pictures: Mapping[Identity, PatchFeatures]) -> UnlabelledPictures:
        """Gather at least two objects' pictures, each encoded as a batch of one."""
        by_layer = zip(*(features.layers for features in pictures.values()), strict=True)
        layers = tuple(UnlabelledLayer.build([item[0] for item in layer]) for layer in by_layer)
        return cls(layers, number(list(pictures)).to(layers[0].tokens.device))

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor]) -> UnlabelledPictures:
        """Put together what ``arrays`` took apart."""
        numbers = range((len(arrays) - 1) // len(FIELDS))
        layers = (UnlabelledLayer(*(arrays[f"{name}{i}"] for name in FIELDS)) for i in numbers)
        return cls(tuple(layers), arrays["identities"])

    def arrays(self) -> dict[str, Tensor]:
        """Return every tensor by name."""
        found = {"identities": self.identities}
        for i, layer in enumerate(self.layers):
            found |= {f"{name}{i}": getattr(layer, name) for name in FIELDS}
        return found

    def reduce(self, features: PatchFeatures) -> PatchFeatures:
        """Bring features into the space that the unlabelled pictures span."""
        layers = zip(self.layers, features.layers, strict=True)
        return PatchFeatures(tuple(own.reduce(tokens) for own, tokens in layers), features.grids)

    def reduce_bank(self, bank: MemoryBank) -> MemoryBank:
        """Bring a memory bank there, so that reduced features are searched in it."""
        layers = zip(self.layers, bank.layers, strict=True)
        return MemoryBank(tuple(own.reduce(tokens) for own, tokens in layers))

    def anomaly_map(self, reduced: PatchFeatures, identities: Sequence[Identity] | None) -> Tensor:
        """Measure how unlike the other pictures each patch is.

        U_l(p) = mean over the nearer half of pictures j of 0.5 * min over j's patches of (1 - cos);
        U = mean over layers. Left out of j are the picture itself and others of its object.

        Args:
            reduced: Features of B pictures, from ``reduce``.
            identities: Theirs; ``None`` where none of them is among the unlabelled pictures.

        Returns:
            (B, h, w), in [0, 1].
        """
        excluded = self._same(len(reduced.layers[0]), identities)
        values = [
            _lowest_mean(own.distances(tokens), excluded)
            for own, tokens in zip(self.layers, reduced.layers, strict=True)
        ]
        return mean_map(values, reduced.grids)

    def _same(self, batch: int, identities: Sequence[Identity] | None) -> Tensor:
        """Say which unlabelled pictures show which picture's object: bool (B, U)."""
        if identities is None:
            return self.identities.new_zeros(batch, len(self.identities), dtype=torch.bool)
        numbers = number(identities).to(self.identities.device)
        return (numbers[:, None] == self.identities[None]).any(dim=2)


def number(identities: Sequence[Identity]) -> Tensor:
    """Hash identities to int64 (B, 2), content and object, which are compared and travel fast."""
    rows = [
        [_number(f"content {item.content}"), _number(f"object {item.object}")]
        for item in identities
    ]
    return torch.tensor(rows, dtype=torch.int64).view(-1, 2)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _main_directions(tokens: Tensor) -> Tensor:
    """Return the leading eigenvectors of the tokens' second moment, (C, d)."""
    vectors: Tensor = torch.linalg.eigh(tokens.T @ tokens).eigenvectors
    return vectors[:, -DIMENSIONS:].contiguous()


def _lowest_mean(distances: Tensor, excluded: Tensor) -> Tensor:
    """Average the lowest share of each patch's distances, (B, N, U), to (B, N)."""
    counts = ((~excluded).sum(dim=1) * NEAREST_SHARE).round().long().clamp_min(1)
    others = distances.masked_fill(excluded[:, None], torch.inf)
    lowest = others.topk(int(counts.max()), dim=2, largest=False, sorted=True).values
    taken = torch.arange(lowest.shape[2], device=lowest.device) < counts[:, None, None]
    mean: Tensor = lowest.masked_fill(~taken, 0.0).sum(dim=2) / counts[:, None]
    return mean
