"""Frechet inception distance, for sets that are large enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from millsight.platform.errors import UserError

LEAST = 500


def frechet_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the squared Frechet distance of normal distributions fitted to two sets of features.

    Heusel et al., 2017 (arXiv 1706.08500, equation 6). It is biased: small sets look farther apart
    than they are, so that values of different n cannot be compared, and few are refused.

    Args:
        first: ``(M, D)``.
        second: ``(N, D)``.

    Raises:
        UserError: If a set holds fewer than 500.
    """
    if min(len(first), len(second)) < LEAST:
        raise UserError(
            f"FID of {len(first)} and {len(second)} pictures: it needs at least {LEAST} on each "
            "side; take the KID, which is unbiased."
        )
    x, y = (np.asarray(features, np.float64) for features in (first, second))
    apart = x.mean(axis=0) - y.mean(axis=0)
    x, y = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y))
    # The trace of the root of the covariances' product is the sum of these singular values.
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(apart @ apart + (x**2).sum() + (y**2).sum() - 2 * shared)
