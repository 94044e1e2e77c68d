"""Experiments as tables: one for its own reader, several as the paper's Table 2."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from millsight.platform import markdown, storage
from millsight.platform.artifacts import Artifact, Draft
from millsight.pretraining.downstream.comparison import ALL, cell, describe_rows, title
from millsight.pretraining.downstream.judging import DETECTION
from millsight.pretraining.downstream.label_figure import draw

ROWS_FILE = "rows.json"
METRICS = DETECTION.metrics


def describe(experiment: Artifact) -> str:
    """Return a table in Markdown: mean over seeds [95 % interval over pictures] ± over seeds."""
    return describe_rows(_content(experiment)["rows"], METRICS)


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
        columns.setdefault((data, str(row["labelled"] or ALL)), {})[title(row)] = row
    differences_last = sorted((row for _, row in found), key=lambda row: row["minus"] is not None)
    heading = ["start"]
    for data, labelled in columns:
        heading += [f"{data}, {labelled}: {metric}" for metric in METRICS.values()]
    rows = [
        [named, *(cell(rows.get(named), name) for rows in columns.values() for name in METRICS)]
        for named in dict.fromkeys(map(title, differences_last))
    ]
    return markdown.table([heading, *rows])


def write_table(draft: Draft, experiments: Sequence[Artifact]) -> None:
    """Write ``table.md``, ``table.csv``, ``table.json`` and ``labels.svg``."""
    contents = [_content(artifact) for artifact in experiments]
    storage.write_bytes(draft.file("table.md"), (compare(experiments) + "\n").encode())
    storage.write_bytes(draft.file("table.json"), _json(contents))
    storage.write_bytes(draft.file("table.csv"), _csv(contents))
    storage.write_bytes(draft.file("labels.svg"), draw(contents, METRICS).encode())


def _content(artifact: Artifact) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(storage.read_bytes(artifact.file(ROWS_FILE)))
    return content


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
