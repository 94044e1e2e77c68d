"""Precision, recall, density and coverage of generated pictures in feature space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from millsight.platform.errors import UserError

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Manifold:
    """How two sets of features overlap.

    Attributes:
        precision: Share of generated pictures within a real one's neighbourhood.
        recall: Share of real pictures within a generated one's neighbourhood.
        density: Real neighbourhoods that a generated picture lies in, divided by k; may exceed 1.
        coverage: Share of real pictures with a generated one in their neighbourhood.
        neighbours: k: a neighbourhood reaches to the k-th nearest other picture of its set.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    neighbours: int


def compare_manifolds(real: Features, generated: Features, neighbours: int = 3) -> Manifold:
    """Compare two sets by balls around their pictures, in Euclidean distance.

    Precision and recall: Kynkaanniemi et al., 2019 (arXiv 1904.06991, equations 1 and 2). Density
    and coverage: Naeem et al., 2020 (arXiv 2002.09797, equations 3 and 5). A picture on the edge of
    a ball is inside. Copies of the real pictures have precision 1: see ``memorisation``.

    Args:
        real: ``(M, D)``, M above ``neighbours``.
        generated: ``(N, D)``, N above ``neighbours``.
        neighbours: k, at least 1.

    Raises:
        UserError: If a set is too small.
    """
    if neighbours < 1 or min(len(real), len(generated)) <= neighbours:
        raise UserError(
            f"precision and recall of {len(generated)} generated and {len(real)} real pictures "
            f"with {neighbours} neighbours: both sets need more than that, which is at least 1."
        )
    across = cdist(real, generated)
    around_real = across <= _radii(real, neighbours)[:, None]
    around_generated = across <= _radii(generated, neighbours)[None, :]
    return Manifold(
        precision=float(around_real.any(axis=0).mean()),
        recall=float(around_generated.any(axis=1).mean()),
        density=float(around_real.sum(axis=0).mean() / neighbours),
        coverage=float(around_real.any(axis=1).mean()),
        neighbours=neighbours,
    )


def _radii(features: Features, neighbours: int) -> NDArray[np.float64]:
    """``(N,)`` distances to the k-th nearest other one."""
    distances = cdist(features, features)
    np.fill_diagonal(distances, np.inf)
    radii: NDArray[np.float64] = np.partition(distances, neighbours - 1, axis=1)[:, neighbours - 1]
    return radii
