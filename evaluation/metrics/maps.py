"""Judge anomaly maps and scores against labels and masks, per category, with intervals."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.aupro import FPR_LIMIT
from millsight.evaluation.metrics.histograms import ScoreHistograms, ranking_edges
from millsight.evaluation.metrics.map_rows import Ranked, category_seed, map_row, mean_row
from millsight.evaluation.metrics.pixels import PicturePixels, picture_pixels, pixel_curve
from millsight.evaluation.metrics.ranking import RankingCurve
from millsight.evaluation.metrics.results import BootstrapConfig, MapEvaluation, MapMetrics

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The pictures of one category, in their order."""

    category: str
    scores: NDArray[np.float32]
    labels: list[bool | None]
    maps: list[NDArray[np.floating] | None]
    masks: list[NDArray[np.bool_] | None]
    sizes: list[Size | None]

    def has_pixels(self, i: int) -> bool:
        return self.maps[i] is not None and (self.masks[i] is not None or not self.labels[i])

    def pixels(self, i: int) -> PicturePixels:
        anomaly_map = self.maps[i]
        assert anomaly_map is not None  # noqa: S101
        return picture_pixels(anomaly_map, self.masks[i], self.sizes[i])


def evaluate_maps(
    scores: Sequence[float],
    labels: Sequence[bool | None],
    maps: Sequence[NDArray[np.floating] | None],
    masks: Sequence[NDArray[np.bool_] | None],
    *,
    categories: Sequence[str],
    sizes: Sequence[Size | None] | None = None,
    fpr_limit: float = FPR_LIMIT,
    bootstrap: BootstrapConfig | None = None,
) -> MapEvaluation:
    """Image and pixel AUROC, AP, F1-max and AUPRO per category, with bootstrap intervals.

    Args:
        scores: One score per picture, higher is more anomalous; compared as float32.
        labels: True for defective, False for normal, ``None`` for unknown.
        maps: One ``(h, w)`` map or patch grid per picture; resampled bilinearly to the mask. A
            picture without map counts for the image metrics only.
        masks: ``(H, W)`` bool, True on the defect. ``None`` on a normal picture means that no pixel
            is defective; on a defective one that its pixels are unknown and left out.
        categories: One name per picture; categories are judged apart and then averaged.
        sizes: ``(H, W)`` per picture at which a normal picture without mask is scored; by default
            its map's shape. Give it where maps are patch grids, or such pictures weigh too little.
        fpr_limit: Upper end of AUPRO's false-positive rate.
        bootstrap: How intervals are drawn.

    Raises:
        ValueError: If the sequences differ in length or a score is NaN.
    """
    config = bootstrap or BootstrapConfig()
    wanted = sizes if sizes is not None else [None] * len(scores)
    rows = list(zip(scores, labels, maps, masks, wanted, categories, strict=True))
    results = []
    for category in sorted(set(categories)):
        columns = zip(*(row[:5] for row in rows if row[5] == category), strict=True)
        values, *others = (list(column) for column in columns)
        pictures = _Pictures(category, np.asarray(values, dtype=np.float32), *others)
        results.append(_evaluate(pictures, fpr_limit, config))
    truth = zlib.crc32(repr([(row[5], row[1]) for row in rows]).encode())
    return MapEvaluation(tuple(results), mean_row(results, config), config, truth)


def _evaluate(pictures: _Pictures, fpr_limit: float, config: BootstrapConfig) -> MapMetrics:
    known = [i for i, label in enumerate(pictures.labels) if label is not None]
    masked = [row for row, i in enumerate(known) if pictures.has_pixels(i)]
    pixels = [pictures.pixels(known[row]) for row in masked]
    labels = np.array([pictures.labels[i] for i in known], dtype=bool)
    pixel = pixel_curve(pixels)
    ranked = Ranked(
        seed=category_seed(pictures.category, config.seed),
        n_pictures=len(known),
        scored=np.arange(len(known)),
        scores=pictures.scores[known],
        labels=labels,
        masked=np.array(masked, dtype=np.int64),
        histograms=_histograms(pixels, pixel),
        image=RankingCurve.from_scores(pictures.scores[known], labels),
        pixel=pixel,
        fpr_limit=fpr_limit,
    )
    counts = {
        "n_pictures": len(known),
        "n_defective": int(labels.sum()),
        "n_unlabelled": len(pictures.labels) - len(known),
        "n_masked": len(masked),
        "n_empty_masks": sum(
            bool(labels[row]) and part.regions is None
            for row, part in zip(masked, pixels, strict=True)
        ),
        "n_regions": sum(part.areas.size for part in pixels),
        "n_pixels": sum(part.scores.size for part in pixels),
    }
    return map_row(pictures.category, ranked, counts, config)


def _histograms(pixels: list[PicturePixels], exact: RankingCurve) -> ScoreHistograms | None:
    """Histograms to resample, or ``None`` where every pixel metric is undefined."""
    if not exact.positives.any():
        return None
    return ScoreHistograms.of(pixels, ranking_edges(exact))
