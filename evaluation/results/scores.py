"""Scores, classes and decisions per picture in a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from millsight.evaluation.results.joining import match, require_all
from millsight.evaluation.results.outside import number, read_bounded
from millsight.evaluation.results.row import PictureResult
from millsight.platform.catalog.layouts.tree import canonical
from millsight.platform.errors import UserError

COLUMNS = ("file", "score", "label", "decision")
CLASS = "class:"
DECISIONS = {"0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}
MAX_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the file."""

    place: str
    file: str
    score: float | None
    label: str | None
    decision: bool | None
    class_scores: Mapping[str, float]


def add_scores(rows: Sequence[PictureResult], path: str) -> list[PictureResult]:
    """Fill in what a CSV file says of each picture; what it does not say stays as it was.

    Args:
        rows: The pictures; each needs a line.
        path: CSV file in UTF-8 with a header. Columns: ``file`` (path, file name or sample id) and
            any of ``score`` (higher is more anomalous), ``label`` (predicted class), ``decision``
            (1 or 0, defective or not) and ``class:<name>`` (that class's score). Lines of pictures
            that are not judged are left alone.

    Raises:
        UserError: If the file breaks the format or a picture has no line.
    """
    lines = _read(path)
    found = match(rows, [line.file for line in lines], lambda at: lines[at].place)
    require_all(rows, found, path, "Add their lines, or judge fewer pictures.")
    return [_fill(row, lines[found[index]]) for index, row in enumerate(rows)]


def _fill(row: PictureResult, line: _Line) -> PictureResult:
    return replace(
        row,
        score=row.score if line.score is None else line.score,
        predicted_label=row.predicted_label if line.label is None else line.label,
        decision=row.decision if line.decision is None else line.decision,
        class_scores=line.class_scores or row.class_scores,
    )


def _read(path: str) -> list[_Line]:
    try:
        text = read_bounded(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as such."
        ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    lines = []
    try:
        _check_header(path, reader.fieldnames or ())
        for cells in reader:
            lines.append(_parse(cells, f"{path} line {reader.line_num}"))
            if len(lines) > MAX_ROWS:
                raise UserError(f"{path} has more than {MAX_ROWS:,} lines; split it.")
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num} is not valid CSV: {error}.") from None
    return lines


def _check_header(path: str, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS and not name.startswith(CLASS)]
    if "file" not in names or len(names) < 2 or unknown or len(set(names)) < len(names):
        raise UserError(
            f"{path}: the first line is {','.join(names)[:80]!r}; it has to name the columns, each "
            f"once, separated by commas: file and any of score, label, decision, {CLASS}NAME."
        )


def _parse(cells: Mapping[str | None, str | list[str] | None], place: str) -> _Line:
    values = {name: cell for name, cell in cells.items() if name and isinstance(cell, str)}
    if len(values) != len(cells):
        raise UserError(f"{place} has more or fewer cells than the first line names columns.")
    if not values["file"]:
        raise UserError(f"{place} names no file.")
    classes = [name for name in values if name.startswith(CLASS)]
    return _Line(
        f"{place} ({values['file']})",
        values["file"],
        number(values["score"], f"{place}: score") if "score" in values else None,
        canonical(values["label"]) if values.get("label") else None,
        _decision(values["decision"], place) if "decision" in values else None,
        {
            canonical(name.removeprefix(CLASS)): number(values[name], f"{place}: {name}")
            for name in classes
        },
    )


def _decision(cell: str, place: str) -> bool:
    try:
        return DECISIONS[cell.strip().lower()]
    except KeyError:
        raise UserError(f"{place}: decision is {cell[:40]!r}; write 1 or 0.") from None
