"""A recipe's matrix: one step written once and repeated for every value of an axis."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Matrix = Mapping[str, list[Any]]
Exclude = Sequence[Mapping[str, Any]]
# A reference to a step, with whatever axes its name has.
REFERENCE = re.compile(r"\$\{(?:[^{}]|\$\{[^{}]*\})*\}")


def problems_of_matrix(matrix: Any, steps: Mapping[str, Any], shown: str) -> list[str]:
    """List what is wrong with a matrix: it maps axes to lists of plain values."""
    if not isinstance(matrix, Mapping):
        return [f"{shown}: must map names to lists of values"]
    problems = [
        f"{shown}.{axis}: must be a list of words or numbers, each once"
        for axis, values in matrix.items()
        if not isinstance(values, list)
        or not values
        or any(isinstance(value, (list, Mapping)) for value in values)
        or len(set(values)) < len(values)
    ]
    return problems + [f"{shown}.{axis}: a step has this name" for axis in matrix if axis in steps]


def problems_of_exclude(exclude: Any, matrix: Matrix, shown: str) -> list[str]:
    """List what is wrong with a matrix's exclusions: each maps some axes to one of their values."""
    if not isinstance(exclude, list) or not all(
        isinstance(one, Mapping) and one for one in exclude
    ):
        return [f"{shown}: must be a list of mappings of axes to values"]
    return [
        f"{shown}.{number}.{axis}: {value!r} is no value of that axis"
        for number, one in enumerate(exclude)
        for axis, value in one.items()
        if value not in matrix.get(axis, [])
    ]


def repeat_steps(steps: Mapping[str, Any], matrix: Matrix, exclude: Exclude = ()) -> dict[str, Any]:
    """Write out steps.

    A step whose name has ``${axis}`` is repeated for every value, or for every combination of
    values where it has several; the value then stands for ``${axis}`` in all of its settings. In
    names of steps, what is no letter, digit, ``_`` or ``-`` becomes ``-``. An item of a list that
    has another axis is repeated within the list.

    Args:
        steps: As they stand in the recipe.
        matrix: Values by axis.
        exclude: What does not go together, each some axes' values: steps and items that would have
            all of them are left out.

    Returns:
        Steps by name, in their order, the last axis running fastest.
    """
    return {
        _name(str(name), values): _spread(_fill(step, values), matrix, exclude)
        for name, step in steps.items()
        for values in _combinations(str(name), matrix, exclude)
    }


def _combinations(text: Any, matrix: Matrix, exclude: Exclude) -> Iterator[dict[str, Any]]:
    """Yield every choice of a value for the axes that a text names; one choice if it has none."""
    named = [axis for axis in matrix if isinstance(text, str) and _mark(axis) in text]
    for values in itertools.product(*(matrix[axis] for axis in named)):
        chosen = dict(zip(named, values, strict=True))
        if not any(one.items() <= chosen.items() for one in exclude):
            yield chosen


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    if not isinstance(value, str):
        return value
    whole = {_mark(axis): chosen for axis, chosen in values.items()}
    if value in whole:
        # A number stays one.
        return whole[value]
    return REFERENCE.sub(
        lambda found: str(whole[found[0]]) if found[0] in whole else _name(found[0], values), value
    )


def _name(text: str, values: Mapping[str, Any]) -> str:
    """Fill in the name of a step, or a reference to one."""
    for axis, chosen in values.items():
        text = text.replace(_mark(axis), re.sub(r"[^\w-]+", "-", str(chosen)))
    return text


def _spread(value: Any, matrix: Matrix, exclude: Exclude) -> Any:
    if isinstance(value, Mapping):
        return {key: _spread(item, matrix, exclude) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    return [
        _fill(item, chosen) for item in value for chosen in _combinations(item, matrix, exclude)
    ]


def _mark(axis: str) -> str:
    return f"${{{axis}}}"
