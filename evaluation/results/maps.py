"""Scores and pixel histograms of a ``maps`` artifact, as ``millsight extract`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from millsight.evaluation.anomaly_maps import KIND, AnomalyMap, read_maps
from millsight.evaluation.metrics.pixels import picture_pixels
from millsight.evaluation.results.histograms import count_pixels
from millsight.evaluation.results.joining import require_all
from millsight.evaluation.results.row import PictureResult
from millsight.evaluation.results.truth import true_mask
from millsight.platform.artifacts import open_artifact
from millsight.platform.errors import UserError


def add_maps(rows: Sequence[PictureResult], maps: str) -> list[PictureResult]:
    """Fill in scores and, where the true pixels are known, histograms of the map's values.

    Maps are joined by sample id and scored at the size of their picture. Maps of pictures that are
    not judged are left alone.

    Args:
        rows: The pictures; each needs a map.
        maps: The artifact's directory.

    Raises:
        UserError: If it is no such artifact, is damaged, or lacks a picture.
    """
    wanted: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        wanted.setdefault(row.sample_id, []).append(index)
    filled: dict[int, PictureResult] = {}
    try:
        for item in read_maps(open_artifact(maps, kind=KIND)):
            for index in wanted.get(item.sample_id, ()):
                filled[index] = _fill(rows[index], item, maps)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"maps {maps} are damaged ({error}); extract them again.") from None
    way_out = "Extract maps of these pictures too, or judge the data the maps were made from."
    require_all(rows, filled, f"maps {maps}", way_out)
    return [filled[index] for index in range(len(rows))]


def _fill(row: PictureResult, item: AnomalyMap, maps: str) -> PictureResult:
    if (item.width, item.height) != (row.width, row.height):
        raise UserError(
            f"maps {maps}: {item.uri} is {item.width}x{item.height} there, {row.uri} has "
            f"{row.width}x{row.height} pixels; extract the maps again."
        )
    truth = true_mask(row)
    if truth is None:
        return replace(row, score=item.score)
    histogram = count_pixels(picture_pixels(item.grid, truth))
    return replace(row, score=item.score, map_histogram=histogram)
