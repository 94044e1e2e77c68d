"""``split.csv``: columns ``file``, ``class``, ``split`` and perhaps ``group``.

Where a folder has one, it is the only split to report on: splits that folders or annotation files
name are replaced by it, and pictures that it does not list have none.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from millsight.platform.catalog.layouts.tree import SPLITS, Record, Tree, canonical
from millsight.platform.errors import UserError

NAME = "split.csv"


@dataclass(frozen=True)
class Row:
    """One line of ``split.csv``."""

    label: str | None
    group: str | None
    split: str | None


def read_rows(tree: Tree) -> dict[str, Row] | None:
    """Read the file at the root.

    Returns:
        Rows by path below the root; ``None`` where there is no ``split.csv``.

    Raises:
        UserError: If columns are missing or a split has an unknown name.
    """
    if NAME not in tree.file_set:
        return None
    try:
        text = tree.read(NAME).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{tree.uri(NAME)} is not UTF-8 text: {error}") from None
    reader = csv.DictReader(io.StringIO(text))
    missing = {"file", "split"} - set(reader.fieldnames or ())
    if missing:
        raise UserError(f"{tree.uri(NAME)} lacks the column {' and '.join(sorted(missing))}.")
    return {row["file"].replace("\\", "/"): _row(tree, row) for row in reader}


def apply(
    records: Iterable[Record], rows: dict[str, Row], *, fill_labels: bool
) -> Iterator[Record]:
    """Yield records with the rows' split and group.

    Args:
        records: What the layout read.
        rows: Of ``read_rows``.
        fill_labels: Whether a label that the layout leaves unknown is taken from the row.
    """
    left = dict(rows)
    for record in records:
        row = left.pop(record.path, None)
        if row is None:
            yield replace(record, split=None)
            continue
        label = record.label or (row.label if fill_labels else None)
        yield replace(record, split=row.split, group=row.group or record.group, label=label)
    for path, row in left.items():
        yield Record(path, split=row.split, problem=f"named in {NAME}, not in the folder")


def _row(tree: Tree, row: dict[str, str]) -> Row:
    split = (row["split"] or "").strip().lower()
    if split and split not in SPLITS:
        raise UserError(f"{tree.uri(NAME)}: split {split!r} is not train, val or test.")
    label = (row.get("class") or "").strip()
    return Row(
        label=canonical(label) if label else None,
        group=(row.get("group") or "").strip() or None,
        split=SPLITS.get(split),
    )
