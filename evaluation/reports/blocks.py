"""The pieces that a section of the report is made of, ready for the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: Its number.
        small: Below it, such as an interval.
        gap: Below that, how it differs from the first run.
        mark: ``better`` or ``worse`` where that difference is more than chance, else empty.
        shade: From 0 to 1, how strongly its background is tinted; ``None`` for not at all.
    """

    text: str
    small: str = ""
    gap: str = ""
    mark: str = ""
    shade: float | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table: its heading, what stands below that, and its cells."""

    name: str
    cells: Sequence[Cell]
    small: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: Heading.
        corner: Heading of the rows' headings.
        columns: Headings.
        rows: Rows.
        note: One sentence below the heading.
    """

    title: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[TableRow]
    note: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart: its name, SVG path data, and dots to draw on it as x and y."""

    name: str
    path: str
    dots: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of an axis: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over two axes, in units of an SVG whose y points down.

    Attributes:
        title: Heading.
        x_label: Below the x axis.
        y_label: Above the y axis.
        lines: Lines, in the order of their colours.
        x_ticks: Ticks of the x axis.
        y_ticks: Ticks of the y axis.
        diagonal: SVG path of a line for comparison, empty for none.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    diagonal: str = ""
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True, slots=True)
class Bar:
    """A share from 0 to 1 with its interval, in units of the plot's width."""

    name: str
    text: str
    small: str
    x: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Bars:
    """Shares side by side, one below the other."""

    title: str
    bars: Sequence[Bar]
    kind: ClassVar[str] = "bars"


@dataclass(frozen=True, slots=True)
class TaskSection:
    """A section of the page.

    Attributes:
        anchor: Identifier in the page.
        title: Heading.
        note: What a reader has to know.
        tables: Tables, one below the other.
        plots: Charts and bars, side by side where there is room.
    """

    anchor: str
    title: str
    note: str
    tables: Sequence[Table] = ()
    plots: Sequence[Chart | Bars] = field(default_factory=tuple)
