"""Result tables as they are stored: Parquet, one row per picture, shards merge to the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from millsight.evaluation.results.row import MapHistogram, PictureResult, ResultBox
from millsight.platform import storage
from millsight.platform.errors import UserError

SCHEMA_VERSION = 1
FILE = "results.parquet"
NAME = b"millsight.schema"
VERSION = b"millsight.schema_version"
RUN = b"millsight.run"
ROWS_AT_ONCE = 1024
KEY = ("sample_id", "uri")
BOXES = ("true_boxes", "predicted_boxes")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


BOX = pa.struct(
    [_required(name, pa.float64()) for name in ("x0", "y0", "x1", "y1")]
    + [pa.field("label", pa.string())]
    + [pa.field(name, pa.float64()) for name in ("score", "area")]
    + [_required("crowd", pa.bool_())]
)
HISTOGRAM = pa.struct(
    [
        _required("bins", pa.list_(pa.int16())),
        _required("normal", pa.list_(pa.int64())),
        _required("defective", pa.list_(pa.int64())),
        _required("overlap", pa.list_(pa.float64())),
    ]
)
SCHEMA = pa.schema(
    [
        _required("sample_id", pa.string()),
        _required("uri", pa.string()),
        _required("category", pa.string()),
        _required("width", pa.int32()),
        _required("height", pa.int32()),
        pa.field("split", pa.string()),
        _required("synthetic", pa.bool_()),
        pa.field("defective", pa.bool_()),
        pa.field("label", pa.string()),
        pa.field("defect_area", pa.int64()),
        pa.field("defect_elongation", pa.float64()),
        pa.field("true_mask_uri", pa.string()),
        pa.field("true_boxes", pa.list_(BOX)),
        pa.field("score", pa.float64()),
        pa.field("decision", pa.bool_()),
        pa.field("predicted_label", pa.string()),
        _required("class_scores", pa.map_(pa.string(), pa.float64())),
        pa.field("tp", pa.int64()),
        pa.field("fp", pa.int64()),
        pa.field("fn", pa.int64()),
        pa.field("predicted_area", pa.int64()),
        pa.field("predicted_boxes", pa.list_(BOX)),
        pa.field("predicted_mask_uri", pa.string()),
        pa.field("map_histogram", HISTOGRAM),
    ],
    metadata={NAME: b"results", VERSION: str(SCHEMA_VERSION).encode()},
)


def to_table(results: Sequence[PictureResult], run: str) -> pa.Table:
    """Pack results into rows of ``SCHEMA``, sorted by sample id and address.

    Args:
        results: In any order.
        run: What the predictions came from, such as a fingerprint; shards of one run share it.

    Raises:
        UserError: If a picture is there twice.
    """
    ordered = sorted(results, key=lambda result: (result.sample_id, result.uri))
    rows = [_row(result) for result in ordered]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    table = table.replace_schema_metadata({**SCHEMA.metadata, RUN: run.encode()})
    _refuse_duplicates(table)
    return table


def from_table(table: pa.Table) -> Iterator[PictureResult]:
    """Unpack rows of ``SCHEMA``, one at a time.

    Columns that were dropped from the table come back as not known; without ``map_histogram``, by
    far the largest, unpacking takes a quarter of the time.
    """
    for batch in table.to_batches(ROWS_AT_ONCE):
        yield from (_result(row) for row in batch.to_pylist())


def without_histograms(table: pa.Table) -> pa.Table:
    """Drop ``map_histogram``, where it is there, for readers of rows that do not need it."""
    return table.select([name for name in table.column_names if name != "map_histogram"])


def run_of(table: pa.Table) -> str:
    """Return the run that a table's predictions came from."""
    return str(table.schema.metadata[RUN].decode())


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """Put shards of one run together: equal to the table of the whole, whatever their order.

    Raises:
        UserError: If there is none, versions or runs differ, or a picture is in two shards.
    """
    if not tables:
        raise UserError("there is no result table to merge; name at least one.")
    for table in tables:
        _check(table, "a shard")
    runs = sorted({run_of(table) for table in tables})
    if len(runs) > 1:
        raise UserError(
            f"result tables of different runs cannot be merged: {' and '.join(runs[:3])}. Merge "
            "the shards of one run, and compare runs instead."
        )
    merged = pa.concat_tables(tables).sort_by([(name, "ascending") for name in KEY])
    _refuse_duplicates(merged)
    return merged.combine_chunks()


def write_table(uri: str | Path, table: pa.Table) -> None:
    """Write a result table atomically; equal tables give equal bytes."""
    storage.write_table(uri, table)


def read_table(uri: str | Path) -> pa.Table:
    """Read a result table.

    Raises:
        UserError: If the file is missing, is no result table, or has another schema version.
    """
    try:
        table = storage.read_table(uri)
    except FileNotFoundError:
        raise UserError(f"{uri}: no such result table.") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{uri} is not a readable Parquet file: {error}") from None
    _check(table, str(uri))
    return table


def _check(table: pa.Table, source: str) -> None:
    metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
    if metadata.get(NAME) != b"results" or RUN not in metadata:
        raise UserError(f"{source} is not a millsight result table; make one with the importers.")
    version = metadata.get(VERSION, b"").decode(errors="replace")
    if version != str(SCHEMA_VERSION):
        raise UserError(
            f"{source} has result schema version {version}, this millsight uses {SCHEMA_VERSION}: "
            "import the predictions again with one version of millsight."
        )
    if not table.schema.equals(SCHEMA):
        raise UserError(f"{source} does not have the columns of a result table; import it again.")


def _refuse_duplicates(table: pa.Table) -> None:
    """Compare neighbours of a sorted table."""
    keys = list(zip(*(table[name].to_pylist() for name in KEY), strict=True))
    for one, other in pairwise(keys):
        if one == other:
            raise UserError(
                f"{one[1]} (sample {one[0][:12]}) has two results; keep one of them. If it is in "
                "two shards, the same work was merged twice."
            )


def _row(result: PictureResult) -> dict[str, Any]:
    row = _columns(result)
    row["class_scores"] = sorted(result.class_scores.items())
    for name in BOXES:
        if row[name] is not None:
            row[name] = [_columns(box) for box in row[name]]
    if result.map_histogram is not None:
        row["map_histogram"] = _columns(result.map_histogram)
    return row


def _columns(item: PictureResult | ResultBox | MapHistogram) -> dict[str, Any]:
    # dataclasses.asdict would copy every number of every histogram.
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _result(row: dict[str, Any]) -> PictureResult:
    row["class_scores"] = dict(row.get("class_scores", ()))
    for name in BOXES:
        if row.get(name) is not None:
            row[name] = tuple(ResultBox(**box) for box in row[name])
    if row.get("map_histogram") is not None:
        columns = {name: tuple(values) for name, values in row["map_histogram"].items()}
        row["map_histogram"] = MapHistogram(**columns)
    return PictureResult(**row)
