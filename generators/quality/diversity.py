"""How various the pictures are that lie around each real one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.generators.quality.features import cosine_distances

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Diversity:
    """Intra-cluster diversity.

    Attributes:
        value: Mean over clusters of the mean distance of their pairs; NaN without any pair.
        clusters: Clusters with a pair.
        empty: Real pictures that no generated one is nearest to.
        largest: Share of the generated pictures that lie in the largest cluster.
    """

    value: float
    clusters: int
    empty: int
    largest: float


def intra_cluster_diversity(real: Features, generated: Features) -> Diversity:
    """Sort generated pictures by their nearest real one, and compare those of each with each other.

    Ojha et al., 2021 (arXiv 2104.06820, section 4.1), with cosine distance in the given features
    where they use LPIPS: 0 where a model gives back one picture for each that it has seen.

    Args:
        real: ``(M, D)``, M at least 1: the pictures learned from.
        generated: ``(N, D)``, N at least 1.
    """
    cluster = cosine_distances(generated, real).argmin(axis=1)
    sizes = np.bincount(cluster, minlength=len(real))
    means = []
    for number in np.flatnonzero(sizes > 1):
        own = generated[cluster == number]
        pairs = np.triu_indices(len(own), 1)
        means.append(float(cosine_distances(own, own)[pairs].mean()))
    return Diversity(
        value=float(np.mean(means)) if means else float("nan"),
        clusters=len(means),
        empty=int((sizes == 0).sum()),
        largest=float(sizes.max() / len(generated)),
    )
