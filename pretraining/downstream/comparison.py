"""Rows of a comparison: what each start or arm scored, and its difference to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from millsight.evaluation.metrics.results import Row
from millsight.evaluation.metrics.seeds import format_over_seeds, over_seeds
from millsight.platform import markdown

ALL = "all"
Measured = Mapping[tuple[str, int | None], Sequence[Row]]


def compare_rows(
    measured: Measured, reference: str, metrics: Iterable[str], confidence: float
) -> list[dict[str, Any]]:
    """Return JSON-like rows: means over seeds, then differences to the reference.

    Args:
        measured: By name and number of labelled pictures (``None`` for all), one entry per seed.
        reference: A name; where it has not been measured for a number, there are no differences.
        metrics: Names of metrics.
        confidence: Share of the resamples inside an interval.

    Returns:
        Each with ``labelled``, ``start``, ``minus`` (``None``, or the reference) and, by metric,
        what ``over_seeds`` returns.
    """
    names = list(metrics)
    rows: list[dict[str, Any]] = []
    for labelled in dict.fromkeys(count for _, count in measured):
        of_count = {start: runs for (start, count), runs in measured.items() if count == labelled}
        against = of_count.get(reference)
        for start, runs in of_count.items():
            found = {name: over_seeds(runs, name, confidence=confidence) for name in names}
            rows.append({"labelled": labelled, "start": start, "minus": None} | found)
        for start, runs in of_count.items():
            if against is None or start == reference:
                continue
            gaps = {
                name: over_seeds(runs, name, minus=against, confidence=confidence) for name in names
            }
            rows.append({"labelled": labelled, "start": start, "minus": reference} | gaps)
    return rows


def title(row: Mapping[str, Any]) -> str:
    """Name a row; a difference says from what."""
    return str(row["start"]) if row["minus"] is None else f"{row['start']} - {row['minus']}"


def cell(row: Mapping[str, Any] | None, name: str) -> str:
    """Return mean over seeds [95 % interval over pictures] ± over seeds; empty without a row."""
    return "" if row is None else format_over_seeds(row[name], signed=row["minus"] is not None)


def describe_rows(rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> str:
    """Return rows as a table in Markdown.

    Args:
        rows: Of ``compare_rows``.
        metrics: Headings by name.
    """
    lines = [
        (str(row["labelled"] or ALL), title(row), *(cell(row, name) for name in metrics))
        for row in rows
    ]
    return markdown.table([("labelled", "start", *metrics.values()), *lines])
