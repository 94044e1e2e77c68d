"""Anomaly maps as they are stored: float16 patch grids with their scores, one row per picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from millsight.platform import storage
from millsight.platform.artifacts import Artifact
from millsight.platform.errors import UserError

KIND = "maps"
SCHEMA_VERSION = 1
ROWS_AT_ONCE = 1024
FILE = "maps.parquet"

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("class_score", pa.float32()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("grid_width", pa.int16(), nullable=False),
        pa.field("grid_height", pa.int16(), nullable=False),
        pa.field("grid", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class AnomalyMap:
    """One picture's anomaly map.

    Attributes:
        sample_id: Of the picture's ``Sample``.
        uri: The picture.
        category: The category whose memory bank and prompts scored it.
        score: Image anomaly score S; higher is more anomalous.
        class_score: Score of the class token alone (KeAD eq. 2); ``None`` without a text term.
        width: Of the upright picture, pixels.
        height: Of the upright picture, pixels.
        grid: float16 (grid_height, grid_width), M on the patch grid; cell (0, 0) is top left and
            the grid covers the whole picture.
    """

    sample_id: str
    uri: str
    category: str
    score: float
    class_score: float | None
    width: int
    height: int
    grid: np.ndarray

    def upsample(self, height: int | None = None, width: int | None = None) -> np.ndarray:
        """Interpolate bilinearly between cell centres (``align_corners=False``).

        Returns:
            float32 (height, width); the picture's own size by default.
        """
        size = (width or self.width, height or self.height)
        grid = self.grid.astype(np.float32)
        resized: np.ndarray = cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR)
        return resized


def to_table(maps: Sequence[AnomalyMap]) -> pa.Table:
    """Pack maps into rows of ``SCHEMA``."""
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for item in maps:
        for name in ("sample_id", "uri", "category", "score", "class_score", "width", "height"):
            columns[name].append(getattr(item, name))
        columns["grid_height"].append(item.grid.shape[0])
        columns["grid_width"].append(item.grid.shape[1])
        columns["grid"].append(np.ascontiguousarray(item.grid, dtype="<f2").tobytes())
    return pa.table(columns, schema=SCHEMA)


def from_table(table: pa.Table) -> Iterator[AnomalyMap]:
    """Unpack rows of ``SCHEMA``, one at a time."""
    for batch in table.to_batches(ROWS_AT_ONCE):
        yield from _unpack(batch)


def read_maps(artifact: Artifact) -> Iterator[AnomalyMap]:
    """Read the maps of a ``maps`` artifact in catalog order, ``ROWS_AT_ONCE`` at a time.

    Raises:
        UserError: If their file is missing, damaged, or another one.
    """
    address = artifact.file(FILE)
    fs, path = storage.filesystem(address)
    try:
        with fs.open(path, "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE):
                yield from _unpack(batch)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{address} holds no readable maps ({error}); make them again with `millsight extract`."
        ) from None


def _unpack(batch: pa.RecordBatch) -> Iterator[AnomalyMap]:
    for row in batch.to_pylist():
        shape = (row.pop("grid_height"), row.pop("grid_width"))
        grid = np.frombuffer(row.pop("grid"), dtype="<f2").reshape(shape)
        yield AnomalyMap(**row, grid=grid)
