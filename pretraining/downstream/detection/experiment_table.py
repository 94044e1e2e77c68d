"""Experiments as tables: one for its own reader, several as the paper's Table 2."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from millsight.evaluation.metrics.seeds import format_over_seeds
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, Draft
from millsight.pretraining.downstream.detection.label_figure import draw
from millsight.pretraining.downstream.detection.seeds import METRICS

ROWS_FILE = "rows.json"
ALL = "all"


def describe(experiment: Artifact) -> str:
    """Return a table in Markdown: mean over seeds [95 % interval over pictures] ± over seeds."""
    heading = ("labelled", "start", *METRICS.values())
    rows = [
        (str(row["labelled"] or ALL), _title(row), *(_cell(row, name) for name in METRICS))
        for row in _content(experiment)["rows"]
    ]
    return _markdown([heading, *rows])


def compare(experiments: Sequence[Artifact]) -> str:
    """Return a table in Markdown, laid out as the paper's Table 2.

    A row for each start and, below, for each paired difference; for each dataset and number of
    labelled pictures, a column for each metric; in the cells what ``describe`` has. Experiments on
    data of one name share its columns.
    """
    contents = [_content(artifact) for artifact in experiments]
    found = [(content["data"], row) for content in contents for row in content["rows"]]
    columns: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for data, row in found:
        columns.setdefault((data, str(row["labelled"] or ALL)), {})[_title(row)] = row
    differences_last = sorted((row for _, row in found), key=lambda row: row["minus"] is not None)
    heading = ["start"]
    for data, labelled in columns:
        heading += [f"{data}, {labelled}: {metric}" for metric in METRICS.values()]
    rows = [
        [title, *(_cell(rows.get(title), name) for rows in columns.values() for name in METRICS)]
        for title in dict.fromkeys(map(_title, differences_last))
    ]
    return _markdown([heading, *rows])


def write_table(draft: Draft, experiments: Sequence[Artifact]) -> None:
    """Write ``table.md``, ``table.csv``, ``table.json`` and ``labels.svg``."""
    contents = [_content(artifact) for artifact in experiments]
    storage.write_bytes(draft.file("table.md"), (compare(experiments) + "\n").encode())
    storage.write_bytes(draft.file("table.json"), _json(contents))
    storage.write_bytes(draft.file("table.csv"), _csv(contents))
    storage.write_bytes(draft.file("labels.svg"), draw(contents).encode())


def _content(artifact: Artifact) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(storage.read_bytes(artifact.file(ROWS_FILE)))
    return content


def _title(row: Mapping[str, Any]) -> str:
    return str(row["start"]) if row["minus"] is None else f"{row['start']} - {row['minus']}"


def _cell(row: Mapping[str, Any] | None, name: str) -> str:
    return "" if row is None else format_over_seeds(row[name], signed=row["minus"] is not None)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    heading, *cells = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([heading, "|" + "---|" * len(rows[0]), *cells])


def _csv(contents: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("value", "low", "high", "spread", "n")
    writer.writerow(("data", "labelled", "start", "minus", "metric", *columns))
    for content in contents:
        for row in content["rows"]:
            for name in METRICS:
                which = (content["data"], row["labelled"] or ALL, row["start"], row["minus"], name)
                writer.writerow((*which, *(row[name][column] for column in columns)))
    return text.getvalue().encode()


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
