"""Which pictures a report shows: the worst first, then a walk through all of them."""

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
    """Worst decisions, or scores, or the extremes where nothing is labelled; then a gallery."""
    scored = any(picture.score is not None for picture in pictures)
    if any(picture.verdict is not None for picture in pictures):
        worst = _decided(pictures, limits.n_worst)
    elif not scored:
        worst = [_worst_loss(pictures, limits.n_worst)]
    elif any(picture.label is not None for picture in pictures):
        worst = _worst(pictures, limits.n_worst)
    else:
        worst = _extremes(pictures, limits.n_worst)
    order = "the highest score to the lowest" if scored else "the worst prediction to the best"
    gallery = Section(
        "gallery",
        "Gallery",
        f"Evenly spaced through each category, from {order}.",
        _per_category(pictures, lambda rows: _spread(rows, limits.n_gallery)),
    )
    return _capped([*worst, gallery], limits.n_pictures)


def _decided(pictures: Sequence[ReportPicture], n: int) -> list[Section]:
    escapes = _of_verdict(pictures, "escape", n)
    alarms = _of_verdict(pictures, "overkill", n)
    others = [p for p in pictures if p.verdict not in ("escape", "overkill")]
    return [
        Section("misses", "Worst misses", "Defective parts shipped: escapes.", escapes),
        Section("alarms", "Worst false alarms", "Good parts stopped: over-kill.", alarms),
        _worst_loss(others, n),
    ]


def _of_verdict(
    pictures: Sequence[ReportPicture], verdict: str, n: int
) -> tuple[ReportPicture, ...]:
    chosen = [picture for picture in pictures if picture.verdict == verdict]
    return _per_category(chosen, lambda rows: _by_loss(rows)[:n])


def _worst_loss(pictures: Sequence[ReportPicture], n: int) -> Section:
    wrong = [picture for picture in pictures if picture.loss > 0]
    return Section(
        "worst",
        "Worst masks, boxes and classes",
        "Wrong classes, then the share of a mask or of the true boxes that was not found.",
        _per_category(wrong, lambda rows: _by_loss(rows)[:n]),
    )


def _by_loss(rows: Sequence[ReportPicture]) -> list[ReportPicture]:
    return sorted(rows, key=lambda picture: -picture.loss)


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
    """Apply a choice to each category's pictures, highest score (or else loss) first."""
    groups: dict[str, list[ReportPicture]] = {}
    for picture in sorted(pictures, key=_order):
        groups.setdefault(picture.category, []).append(picture)
    return tuple(picture for rows in groups.values() for picture in choose(rows))


def _order(picture: ReportPicture) -> tuple[str, float, str]:
    height = picture.loss if picture.score is None else picture.score
    return picture.category, -height, picture.uri


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
