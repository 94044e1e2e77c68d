"""The result table: one row per picture, from which every number is computed; see docs."""

from millsight.evaluation.results.row import MapHistogram, PictureResult, ResultBox
from millsight.evaluation.results.table import (
    SCHEMA,
    from_table,
    merge,
    read_table,
    run_of,
    to_table,
    write_table,
)
from millsight.evaluation.results.truth import from_samples

__all__ = [
    "SCHEMA",
    "MapHistogram",
    "PictureResult",
    "ResultBox",
    "from_samples",
    "from_table",
    "merge",
    "read_table",
    "run_of",
    "to_table",
    "write_table",
]
