"""Several trainings that differ in their seed, judged on the same pictures, as one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from millsight.evaluation.metrics.bootstrap import Estimate
from millsight.evaluation.metrics.results import Row


def over_seeds(
    runs: Sequence[Row], name: str, *, minus: Sequence[Row] = (), confidence: float = 0.95
) -> dict[str, Any]:
    """Average a metric, or its paired difference, over seeds.

    Args:
        runs: One per seed, with replicates over the same resamples of the same pictures.
        name: Of the metric.
        minus: As many others, seed by seed, whose values are subtracted.
        confidence: Share of the resamples inside the interval.

    Returns:
        JSON-like: ``value``, the mean; ``low`` and ``high``, the interval of this mean under
        resampling of the pictures, all seeds and both sides alike; ``spread``, the standard
        deviation over seeds (``None`` for one seed); ``seeds``, the values; ``n``.
    """
    values = np.array([getattr(run, name).value for run in runs])
    drawn = np.mean([run.replicates[name] for run in runs], axis=0)
    if minus:
        values = values - [getattr(run, name).value for run in minus]
        drawn = drawn - np.mean([run.replicates[name] for run in minus], axis=0)
    estimate = Estimate.of(float(values.mean()), drawn, confidence, getattr(runs[0], name).n)
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    return estimate.to_dict() | {"spread": spread, "seeds": values.tolist()}


def format_over_seeds(estimate: Mapping[str, Any], *, signed: bool = False) -> str:
    """Return ``value [low, high] ± spread over seeds``, with signs for a difference."""
    if estimate["value"] is None:
        return "undefined"
    sign = "+" if signed else ""
    spread = "" if estimate["spread"] is None else f" ± {estimate['spread']:.3f}"
    interval = f"[{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"
    return f"{estimate['value']:{sign}.3f} {interval}{spread}"
