"""Whether the network may be tried at all."""

from __future__ import annotations

import os


def is_forbidden(*variables: str) -> bool:
    """Say whether ``MILLSIGHT_OFFLINE``, or one of ``variables``, is set to 1, true, yes or on."""
    names = ("MILLSIGHT_OFFLINE", *variables)
    return any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in names)
