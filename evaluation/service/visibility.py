"""What those who may not see the labels are shown: numbers over many pictures, coarsely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millsight.evaluation.metrics.results import MEAN
from millsight.evaluation.results.evaluating import HEADLINE
from millsight.evaluation.service.datasets import Dataset
from millsight.platform.services.tokens import Scope, Token

MIN_PICTURES = 5
DIGITS = 4
MAX_CURVE_POINTS = 21
PICTURES_PER_POINT = 10
ESTIMATE = frozenset({"value", "low", "high", "n"})


def sees_truth(dataset: Dataset, token: Token) -> bool:
    """Say whether a caller may see single pictures' truth."""
    return dataset.is_open or token.allows(Scope.ADMIN)


def coarse(value: Any, *, withhold: bool = True) -> Any:
    """Round the numbers in JSON-like content, and withhold those over too few pictures.

    A sum of thousands of pictures' parts told in 16 digits can be taken apart again, and a number
    over one picture is that picture's truth.

    Args:
        value: Estimates as dicts, in any nesting.
        withhold: Not for means over categories, whose ``n`` counts those instead of pictures.
    """
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        if withhold and value.keys() == ESTIMATE and value["n"] < MIN_PICTURES:
            return dict.fromkeys(ESTIMATE) | {"n": value["n"]}
        return {name: coarse(part, withhold=withhold) for name, part in value.items()}
    if isinstance(value, list):
        return [coarse(part, withhold=withhold) for part in value]
    return value


def coarse_headline(headline: Mapping[str, Any]) -> dict[str, Any]:
    """Coarsen a run's headline."""
    means = HEADLINE["maps"]
    return {name: coarse(value, withhold=name not in means) for name, value in headline.items()}


def coarse_differences(tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Coarsen the differences of two runs."""
    return {
        task: {
            name: coarse(row, withhold=(task, name) != ("maps", MEAN)) for name, row in rows.items()
        }
        for task, rows in tasks.items()
    }


def coarse_evaluation(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Coarsen an evaluation; classes that few pictures were given tell which those are."""
    shown: dict[str, Any] = coarse(evaluation)
    if "maps" in shown:
        shown["maps"] |= {MEAN: coarse(evaluation["maps"][MEAN], withhold=False)}
        for row in (*shown["maps"]["categories"], shown["maps"][MEAN]):
            # The best threshold is one picture's score, and that picture is most likely defective.
            row["image_threshold"] = None
    if "samples" in shown:
        slices = shown["samples"]["slices"]
        large = [row for row in slices if row["n_pictures"] >= MIN_PICTURES]
        shown["samples"] |= {"slices": large}
    if "classes" in shown:
        shown["classes"] |= {
            "confusion": _coarse_confusion(evaluation["classes"]["confusion"]),
            "reliability": None,
        }
    return shown


def coarse_curves(curves: Sequence[Mapping[str, Any]], n_pictures: int) -> list[dict[str, Any]]:
    """Draw curves through few points: each step of a whole one is one picture's label."""
    points = min(MAX_CURVE_POINTS, n_pictures // PICTURES_PER_POINT)
    return [
        {**curve, "series": {name: _thin(line, points) for name, line in curve["series"].items()}}
        for curve in curves
        if curve["name"] != "reliability" and points > 1
    ]


def _coarse_confusion(rows: Sequence[Sequence[int]]) -> list[list[int | None]]:
    given = [sum(column) for column in zip(*rows, strict=True)]
    return [
        [
            count if number >= MIN_PICTURES or number == 0 else None
            for count, number in zip(row, given, strict=True)
        ]
        for row in rows
    ]


def _thin(line: Mapping[str, list[float]], points: int) -> dict[str, list[float]]:
    last = len(line["x"]) - 1
    steps = max(1, points - 1)
    kept = sorted({round(last * step / steps) for step in range(steps + 1)})
    return {axis: [round(values[at], 2) for at in kept] for axis, values in line.items()}
