"""Kernel inception distance, unbiased, in whatever features it is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from millsight.platform.errors import UserError

DEGREE = 3


def kernel_inception_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the unbiased squared maximum mean discrepancy of two sets of features.

    The polynomial kernel ``(x . y / D + 1) ** 3`` and the U-statistic of Binkowski et al., 2018
    (arXiv 1801.01401, section 4): no set is compared with itself on the diagonal, so that the
    expectation is 0 for two samples of one distribution whatever their sizes. A single value may
    be negative. All features are used at once; there are no random subsets.

    Args:
        first: ``(M, D)``, M at least 2.
        second: ``(N, D)``, N at least 2.

    Raises:
        UserError: If a set holds fewer than 2, or the features are not finite.
    """
    if min(len(first), len(second)) < 2:
        raise UserError(
            f"KID of {len(first)} and {len(second)} pictures: it needs at least 2 on each side."
        )
    x, y = (np.asarray(features, np.float64) for features in (first, second))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("KID: the features of some pictures are not finite numbers.")
    return float(_mean_of_pairs(x) + _mean_of_pairs(y) - 2 * _kernel(x, y).mean())


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** DEGREE
    return kernel


def _mean_of_pairs(x: NDArray[np.float64]) -> float:
    """Mean kernel of all pairs of different items."""
    kernel = _kernel(x, x)
    return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))
