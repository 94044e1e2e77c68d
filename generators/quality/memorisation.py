"""Which real picture is nearest to each generated one, against how near real ones lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millsight.generators.quality.features import cosine_distances

Features = NDArray[np.float32]
QUANTILES = (0.0, 0.05, 0.5, 0.95)


@dataclass(frozen=True)
class NearestReal:
    """Nearest real pictures.

    Attributes:
        nearest: ``(N,)`` number of the real picture nearest to each generated one.
        distances: ``(N,)`` cosine distances to it.
        usual: ``(M,)`` distances of real pictures to their nearest one of another object; infinite
            where there is no other.
    """

    nearest: NDArray[np.intp]
    distances: NDArray[np.float32]
    usual: NDArray[np.float32]

    @property
    def closer_than_all(self) -> float:
        """Share of generated pictures that are nearer to a real one than any two real ones are."""
        return float((self.distances < self.usual.min()).mean())

    @property
    def rank(self) -> float:
        """Mean share of the real distances that lie below a generated one's; near 0 is copying."""
        below = np.searchsorted(np.sort(self.usual), self.distances)
        return float(below.mean() / len(self.usual))

    def to_dict(self) -> dict[str, Any]:
        """Return, JSON-like, quantiles of both distances, and how many lie below all real ones."""
        named = {"generated_to_real": self.distances, "real_to_real": self.usual}
        return {
            **{name: _quantiles(values) for name, values in named.items()},
            "closer_than_all_real": self.closer_than_all,
            "mean_rank": self.rank,
            "n_real": len(self.usual),
            "n_generated": len(self.distances),
        }


def _quantiles(values: NDArray[np.float32]) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    return {f"{q:g}": float(np.quantile(known, q)) if known.size else None for q in QUANTILES}


def nearest_real(
    real: Features, generated: Features, objects: NDArray[np.str_] | None = None
) -> NearestReal:
    """Find the nearest real picture of each generated one.

    Args:
        real: ``(M, D)``, M at least 2.
        generated: ``(N, D)``, N at least 1.
        objects: ``(M,)`` physical objects: pictures of one object are not compared with each other.
            By default each picture is one.
    """
    across = cosine_distances(generated, real)
    within = cosine_distances(real, real)
    names = np.arange(len(real)) if objects is None else objects
    within[names[:, None] == names[None, :]] = np.inf
    nearest = across.argmin(axis=1)
    return NearestReal(nearest, across[np.arange(len(nearest)), nearest], within.min(axis=1))
