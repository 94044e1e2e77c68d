"""Render the report and write it in one piece."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from millsight.evaluation.metrics import MapMetrics
from millsight.evaluation.reports import charts
from millsight.evaluation.reports.overlay import (
    PROBABILITIES,
    ColorScale,
    Overlay,
    color_bar,
    draw_overlay,
)
from millsight.evaluation.reports.record import ReportContent, ReportLimits, ReportPicture
from millsight.evaluation.reports.score_plot import HEIGHT, WIDTH, ScorePlot, plot_scores
from millsight.evaluation.reports.selection import Section, choose_sections
from millsight.platform import storage
from millsight.platform.catalog.pictures import PictureError
from millsight.platform.errors import UserError

VERDICTS = {
    "escape": "escape",
    "overkill": "over-kill",
    "caught": "caught",
    "passed": "passed",
}
COLUMNS = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "image_f1_max": "Image F1-max",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "pixel_f1_max": "Pixel F1-max",
    "aupro": "AUPRO",
}


@dataclass(frozen=True, slots=True)
class _Card:
    """A picture of the page: what it is, how it was judged, and its overlay or why it has none."""

    source: ReportPicture
    overlay: Overlay | None
    problem: str
    called: bool | None

    @property
    def verdict(self) -> str:
        """What became of the part, or else label against the category's threshold, in a word."""
        if self.source.verdict is not None:
            return VERDICTS[self.source.verdict]
        if self.source.label is None or self.called is None:
            return ""
        if self.source.label:
            return "caught" if self.called else "missed"
        return "false alarm" if self.called else "passed"


def write_report(
    path: Path | str, content: ReportContent, limits: ReportLimits | None = None
) -> None:
    """Write a report to one HTML file that needs nothing else.

    The file appears complete or not at all; a report already there is replaced.

    Args:
        path: Where to, local or any fsspec address; folders are made.
        content: What to say.
        limits: How much of it to show.

    Raises:
        OSError: If the file cannot be written.
    """
    # File names may hold bytes that are no UTF-8; they are shown escaped.
    page = render_report(content, limits or ReportLimits()).encode("utf-8", "backslashreplace")
    storage.write_bytes(path, page)


def render_report(content: ReportContent, limits: ReportLimits) -> str:
    """Render a report as HTML; everything that comes from outside is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.tests["mapping"] = lambda value: isinstance(value, Mapping)
    scales = _scales(content)
    rows = _thresholds(content)
    sections = choose_sections(content.pictures, limits)
    cards = [(section, _cards(section, scales, rows, limits)) for section in sections]
    nested = {name for name, value in content.provenance.items() if isinstance(value, Mapping)}
    return environment.get_template("report.html.j2").render(
        content=content,
        facts={name: value for name, value in content.provenance.items() if name not in nested},
        details={name: value for name, value in content.provenance.items() if name in nested},
        limits=limits,
        warnings=[*content.warnings, *_gaps(content)],
        columns=COLUMNS,
        plots=_plots(content, rows),
        plot_size=(WIDTH, HEIGHT),
        chart_size=(charts.WIDTH, charts.HEIGHT),
        bar_width=charts.BAR_WIDTH,
        scales=scales,
        color_bar=color_bar(),
        sections=cards,
        layers=_layers([card for _, row in cards for card in row]),
        n_categories=len({picture.category for picture in content.pictures}),
        n_labelled=sum(picture.label is not None for picture in content.pictures),
        folder=_common_folder(
            [picture.uri for section in sections for picture in section.pictures]
        ),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _layers(cards: Sequence[_Card]) -> dict[str, bool]:
    """Which layers any picture has: those that can be switched on and off."""
    names = ("heat", "outline", "predicted", "boxes", "true_boxes")
    drawn = [card.overlay for card in cards if card.overlay is not None]
    return {name: any(getattr(overlay, name) for overlay in drawn) for name in names}


def _common_folder(uris: Sequence[str]) -> str:
    """Return the folder that all addresses begin with, ``/`` at its end; empty if there is none."""
    folders = zip(*(uri.split("/")[:-1] for uri in uris), strict=False)
    shared = takewhile(lambda names: len(set(names)) == 1, folders)
    return "".join(f"{names[0]}/" for names in shared)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _thresholds(content: ReportContent) -> dict[str, float]:
    """Score of the highest F1 per category, where there is one."""
    rows: tuple[MapMetrics, ...] = content.evaluation.categories if content.evaluation else ()
    return {row.category: row.image_threshold for row in rows if row.image_f1_max.value > 0}


def _gaps(content: ReportContent) -> list[str]:
    """What the numbers leave out, in sentences."""
    found = []
    for row in content.evaluation.categories if content.evaluation else ():
        found += [
            f"{row.category}: {count} {text}"
            for count, text in (
                (row.n_unlabelled, "without label, which count in no number."),
                (
                    row.n_masked and row.n_pictures - row.n_masked,
                    "left out of the pixel numbers (no mask or map).",
                ),
                (row.n_empty_masks, "labelled defective with an empty mask: no defective pixel."),
            )
            if count
        ]
    return found


def _scales(content: ReportContent) -> dict[str, ColorScale]:
    names = sorted({picture.category for picture in content.pictures})
    maps = {
        name: [
            picture.anomaly_map
            for picture in content.pictures
            if picture.category == name and picture.anomaly_map is not None
        ]
        for name in names
    }
    return {name: ColorScale.of(found) for name, found in maps.items() if found}


def _plots(content: ReportContent, thresholds: Mapping[str, float]) -> list[ScorePlot]:
    plots = []
    for name in sorted({picture.category for picture in content.pictures}):
        members = [p for p in content.pictures if p.category == name and p.score is not None]
        if members:
            scores, labels = [p.score or 0.0 for p in members], [p.label for p in members]
            plots.append(plot_scores(name, scores, labels, thresholds.get(name)))
    return plots


def _cards(
    section: Section,
    scales: Mapping[str, ColorScale],
    thresholds: Mapping[str, float],
    limits: ReportLimits,
) -> list[_Card]:
    cards = []
    for source in section.pictures:
        threshold = thresholds.get(source.category)
        called = None
        if threshold is not None and source.score is not None:
            called = source.score >= threshold
        scale = scales.get(source.category, PROBABILITIES)
        try:
            overlay = draw_overlay(source, scale, limits.longest_side)
            cards.append(_Card(source, overlay, "", called))
        except (OSError, PictureError, UserError) as error:
            cards.append(_Card(source, None, str(error), called))
    return cards
