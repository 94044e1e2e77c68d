"""Every measure of a generated set in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millsight.generators.quality.diversity import intra_cluster_diversity
from millsight.generators.quality.features import FeatureNet
from millsight.generators.quality.fid import LEAST, frechet_distance
from millsight.generators.quality.kid import kernel_inception_distance
from millsight.generators.quality.manifold import compare_manifolds
from millsight.generators.quality.memorisation import nearest_real

Picture = NDArray[np.uint8]


def measure_quality(
    real: Sequence[Picture],
    generated: Sequence[Picture],
    network: FeatureNet,
    *,
    learned: Sequence[Picture] | None = None,
    objects: Sequence[str] | None = None,
    neighbours: int = 3,
) -> dict[str, Any]:
    """Compare generated pictures of one class with real ones.

    KID, precision, recall, density and coverage, and from 500 pictures on each side the FID, say
    how like the real pictures they are: give real ones that nothing was learned from. Intra-cluster
    diversity and distances to the nearest real picture say whether those that were learned from
    came back: give them as ``learned``.

    Args:
        real: ``(H, W, 3)`` uint8 each, at least 2; crops, where generated ones are.
        generated: Likewise.
        network: In whose features.
        learned: Pictures learned from, at least 2; by default ``real``.
        objects: Physical objects of the pictures learned from, one each; see ``nearest_real``.
        neighbours: For precision and recall, which need more pictures than that on each side.

    Returns:
        JSON-like: ``features`` (source and hash of the network), ``n_real``, ``n_generated``,
        ``n_learned``, ``kid``, ``fid``, ``precision``, ``recall``, ``density``, ``coverage``,
        ``neighbours``, ``ic_diversity`` and ``memorisation``; ``None`` where there are too few
        pictures for one.

    Raises:
        UserError: If a set holds fewer than 2 pictures.
    """
    x, y = network(real), network(generated)
    z = x if learned is None else network(learned)
    enough = min(len(x), len(y))
    overlap = asdict(compare_manifolds(x, y, neighbours)) if enough > neighbours else _nothing()
    names = None if objects is None else np.array(objects)
    diversity = asdict(intra_cluster_diversity(z, y))
    if math.isnan(diversity["value"]):
        diversity["value"] = None
    return {
        "features": network.describe(),
        "n_real": len(x),
        "n_generated": len(y),
        "n_learned": len(z),
        "kid": kernel_inception_distance(x, y),
        "fid": frechet_distance(x, y) if enough >= LEAST else None,
        **overlap,
        "ic_diversity": diversity,
        "memorisation": nearest_real(z, y, names).to_dict(),
    }


def _nothing() -> dict[str, None]:
    return dict.fromkeys(("precision", "recall", "density", "coverage", "neighbours"))
