"""From the scores and map histograms of a result table to ranking metrics, per category."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa

from millsight.evaluation.metrics import BootstrapConfig, MapEvaluation, MapMetrics, RankingCurve
from millsight.evaluation.metrics.histograms import ScoreHistograms
from millsight.evaluation.metrics.map_rows import Ranked, category_seed, map_row, mean_row
from millsight.evaluation.metrics.pixels import pixel_curve
from millsight.evaluation.results.histograms import resampling_histograms

COLUMNS = ("sample_id", "category", "defective", "defect_area", "score", "map_histogram")


def judge_maps(
    table: pa.Table, *, bootstrap: BootstrapConfig | None = None
) -> MapEvaluation | None:
    """Judge scores and anomaly maps, per category and in the mean.

    Pixels are ranked by histogram bins, each at most 1/128 of its value wide, so the pixel metrics
    differ in the third decimal from those of :func:`millsight.evaluation.metrics.evaluate_maps`,
    which sees every pixel. ``None`` where no picture has a score or a map.

    Args:
        table: A result table.
        bootstrap: How intervals are drawn.
    """
    config = bootstrap or BootstrapConfig()
    kept = table.select([name for name in COLUMNS if name in table.column_names])
    predicted = _predicted(kept)
    names = kept["category"].filter(predicted).unique().to_pylist()
    if not names:
        return None
    rows = [_judge(name, kept, predicted, config) for name in sorted(names)]
    truth = kept.select(["sample_id", "category", "defective"]).filter(predicted).to_pylist()
    checksum = zlib.crc32(repr(truth).encode(errors="replace"))
    return MapEvaluation(tuple(rows), mean_row(rows, config), config, checksum)


def category_curves(table: pa.Table, category: str) -> tuple[RankingCurve, RankingCurve]:
    """Return the picture curve and the pixel curve of one category's labelled rows."""
    kept = table.select([name for name in COLUMNS if name in table.column_names])
    ranked, _ = _rank(kept.filter(_known(kept, category, _predicted(kept))), (0, 0))
    return ranked.image, ranked.pixel


def _predicted(table: pa.Table) -> pa.Array:
    has_score = pa.compute.is_valid(table["score"])
    if "map_histogram" not in table.column_names:
        return has_score
    return pa.compute.or_(has_score, pa.compute.is_valid(table["map_histogram"]))


def _known(table: pa.Table, category: str, predicted: pa.Array) -> pa.Array:
    of_category = pa.compute.equal(table["category"], category)
    labelled = pa.compute.is_valid(table["defective"])
    return pa.compute.and_(pa.compute.and_(of_category, labelled), predicted)


def _judge(
    category: str, table: pa.Table, predicted: pa.Array, config: BootstrapConfig
) -> MapMetrics:
    # Histograms are most of a table: they are copied once, by this filter.
    known = table.filter(_known(table, category, predicted))
    members = pa.compute.and_(pa.compute.equal(table["category"], category), predicted)
    ranked, n_pixels = _rank(known, category_seed(category, config.seed))
    masked = known.select(["defective", "defect_area"]).take(pa.array(ranked.masked))
    empty = pa.compute.and_(masked["defective"], pa.compute.equal(masked["defect_area"], 0))
    counts = {
        "n_pictures": known.num_rows,
        "n_defective": pa.compute.sum(known["defective"]).as_py() or 0,
        "n_unlabelled": pa.compute.sum(members).as_py() - known.num_rows,
        "n_masked": masked.num_rows,
        "n_empty_masks": pa.compute.sum(empty).as_py() or 0,
        "n_regions": round(float(ranked.pixel.overlap.sum())),
        "n_pixels": n_pixels,
    }
    return map_row(category, ranked, counts, config)


def _rank(known: pa.Table, seed: tuple[int, int]) -> tuple[Ranked, int]:
    """Rank labelled rows; also count their pixels."""
    labels = known["defective"].to_numpy(zero_copy_only=False).astype(bool)
    scores = known["score"].to_numpy(zero_copy_only=False).astype(np.float32)
    scored = np.flatnonzero(~np.isnan(scores))
    masked, pixel, histograms = _pixels(known)
    ranked = Ranked(
        seed=seed,
        n_pictures=known.num_rows,
        scored=scored,
        scores=scores[scored],
        labels=labels[scored],
        masked=masked,
        histograms=histograms,
        image=RankingCurve.from_scores(scores[scored], labels[scored]),
        pixel=pixel,
    )
    return ranked, int(pixel.negatives.sum() + pixel.positives.sum())


def _pixels(known: pa.Table) -> tuple[np.ndarray, RankingCurve, ScoreHistograms | None]:
    nothing = np.zeros(0, dtype=np.int64)
    if "map_histogram" not in known.column_names:
        return nothing, pixel_curve([]), None
    masked = np.flatnonzero(pa.compute.is_valid(known["map_histogram"]).to_numpy())
    if not masked.size:
        return nothing, pixel_curve([]), None
    return masked, *resampling_histograms(known)
