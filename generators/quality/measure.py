"""Every measure of generated pictures of one class in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millsight.generators.quality.diversity import intra_cluster_diversity
from millsight.generators.quality.fid import LEAST, frechet_distance
from millsight.generators.quality.kid import kernel_inception_distance
from millsight.generators.quality.manifold import compare_manifolds
from millsight.generators.quality.memorisation import nearest_real

Features = NDArray[np.float32]


def measure_quality(
    real: Features,
    generated: Features,
    *,
    learned: Features | None = None,
    objects: Sequence[str] | None = None,
    neighbours: int = 3,
) -> dict[str, Any]:
    """Compare generated pictures of one class with real ones, by features of one network.

    KID, precision, recall, density and coverage, and from 500 pictures on each side the FID, say
    how like the real pictures they are: give real ones that nothing was learned from. Intra-cluster
    diversity and distances to the nearest real picture say whether those that were learned from
    came back: give them as ``learned``.

    Args:
        real: ``(M, D)``, M at least 2; of crops, where generated ones are.
        generated: ``(N, D)``, N at least 2.
        learned: ``(L, D)`` of pictures learned from, L at least 2; by default ``real``.
        objects: Physical objects of the pictures learned from, one each; see ``nearest_real``.
        neighbours: For precision and recall, which need more pictures than that on each side.

    Returns:
        JSON-like: ``n_real``, ``n_generated``, ``n_learned``, ``kid``, ``fid``, ``precision``,
        ``recall``, ``density``, ``coverage``, ``neighbours``, ``ic_diversity`` and
        ``memorisation``; ``None`` where there are too few pictures for one.

    Raises:
        UserError: If a set holds fewer than 2 pictures.
    """
    sources = real if learned is None else learned
    enough = min(len(real), len(generated))
    overlap = (
        asdict(compare_manifolds(real, generated, neighbours)) if enough > neighbours else NOTHING
    )
    names = None if objects is None else np.array(objects)
    diversity = asdict(intra_cluster_diversity(sources, generated))
    if math.isnan(diversity["value"]):
        diversity["value"] = None
    return {
        "n_real": len(real),
        "n_generated": len(generated),
        "n_learned": len(sources),
        "kid": kernel_inception_distance(real, generated),
        "fid": frechet_distance(real, generated) if enough >= LEAST else None,
        **overlap,
        "ic_diversity": diversity,
        "memorisation": nearest_real(sources, generated, names).to_dict(),
    }


NOTHING = dict.fromkeys(("precision", "recall", "density", "coverage", "neighbours"))
