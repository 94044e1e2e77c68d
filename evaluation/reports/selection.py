"""Which pictures a report shows: the worst first, then a walk through all scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from millsight.evaluation.reports.record import ReportLimits, ReportPicture


@dataclass(frozen=True, slots=True)
class Section:
    """A titled row of pictures.

    Attributes:
        anchor: Identifier in the page.
        title: Heading.
        note: One sentence on what was chosen.
        pictures: In the order shown.
    """

    anchor: str
    title: str
    note: str
    pictures: tuple[ReportPicture, ...]


def choose_sections(pictures: Sequence[ReportPicture], limits: ReportLimits) -> list[Section]:
    """Worst misses and false alarms, or the extremes where nothing is labelled, then a gallery."""
    labelled = any(picture.label is not None for picture in pictures)
    worst = _worst(pictures, limits.n_worst) if labelled else _extremes(pictures, limits.n_worst)
    gallery = Section(
        "gallery",
        "Gallery",
        "Evenly spaced through each category, from the highest score to the lowest.",
        _per_category(pictures, lambda rows: _spread(rows, limits.n_gallery)),
    )
    return _capped([*worst, gallery], limits.n_pictures)


def _worst(pictures: Sequence[ReportPicture], n: int) -> list[Section]:
    missed = _per_category([p for p in pictures if p.label], lambda rows: rows[::-1][:n])
    alarms = _per_category([p for p in pictures if p.label is False], lambda rows: rows[:n])
    return [
        Section("misses", "Worst misses", "Defective pictures with the lowest scores.", missed),
        Section("alarms", "Worst false alarms", "Normal pictures with the highest scores.", alarms),
    ]


def _extremes(pictures: Sequence[ReportPicture], n: int) -> list[Section]:
    most = _per_category(pictures, lambda rows: rows[:n])
    least = _per_category(pictures, lambda rows: rows[n:][::-1][:n])
    return [
        Section("most", "Most anomalous", "The highest scores; no picture is labelled.", most),
        Section("least", "Least anomalous", "The lowest scores; no picture is labelled.", least),
    ]


def _per_category(
    pictures: Iterable[ReportPicture],
    choose: Callable[[list[ReportPicture]], list[ReportPicture]],
) -> tuple[ReportPicture, ...]:
    """Apply a choice to each category's pictures, highest score first."""
    groups: dict[str, list[ReportPicture]] = {}
    for picture in sorted(pictures, key=lambda p: (p.category, -p.score, p.uri)):
        groups.setdefault(picture.category, []).append(picture)
    return tuple(picture for rows in groups.values() for picture in choose(rows))


def _spread(rows: list[ReportPicture], n: int) -> list[ReportPicture]:
    steps = np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(int)
    return [rows[step] for step in steps]


def _capped(sections: list[Section], n: int) -> list[Section]:
    """Share what may be shown: every section in turn gives way to those before it."""
    kept = []
    for section in sections:
        part = section.pictures[:n]
        n -= len(part)
        kept.append(Section(section.anchor, section.title, section.note, part))
    return [section for section in kept if section.pictures]
