"""Anomaly maps for whoever needs some, without knowing which room makes them.

A room offers a maker under a name, by an entry point of the group ``millsight.anomaly_scorers``
that reads ``package.module:function``.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

GROUP = "millsight.anomaly_scorers"


class AnomalyScorer(Protocol):
    """Gives anomaly maps."""

    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return a map ``(h, w)`` for each ``(H, W, 3)`` uint8 RGB picture, higher is stranger.

        (0, 0) is top left, and the grid covers the picture.
        """
        ...


class ScorerMaker(Protocol):
    """Makes a scorer; what an entry point names."""

    def __call__(self, samples: Sequence[Sample], device: str) -> AnomalyScorer:
        """Learn what is normal.

        Args:
            samples: Of one category, good ones of the training split among them.
            device: A torch device.

        Raises:
            UserError: If that cannot be learnt from the samples.
        """
        ...


def scorer_names() -> list[str]:
    """Return the names of the scorers that are installed."""
    return sorted(entry.name for entry in importlib.metadata.entry_points(group=GROUP))


def load_scorer(name: str, samples: Sequence[Sample], device: str = "cpu") -> AnomalyScorer:
    """Make a scorer by its name; see ``ScorerMaker``.

    Raises:
        UserError: If there is none of that name, or it cannot learn from the samples.
    """
    found = importlib.metadata.entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(scorer_names()) or "none"
        raise UserError(f"anomaly scorer {name!r} is not installed; there are: {known}.")
    make = cast("ScorerMaker", found[name].load())
    return make(samples, device)
