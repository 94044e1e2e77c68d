"""Judge anomaly maps and scores against labels and masks, per category, with intervals."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.aupro import FPR_LIMIT, aupro
from millsight.evaluation.metrics.bootstrap import picture_curve, replicate
from millsight.evaluation.metrics.histograms import ScoreHistograms, ranking_edges
from millsight.evaluation.metrics.pixels import PicturePixels, picture_pixels, pixel_curve
from millsight.evaluation.metrics.ranking import Array, RankingCurve
from millsight.evaluation.metrics.results import (
    IMAGE_METRICS,
    MEAN,
    METRICS,
    PIXEL_METRICS,
    BootstrapConfig,
    MapEvaluation,
    MapMetrics,
    estimates,
)

Size = tuple[int, int]
Values = Mapping[str, Array]


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
    return MapEvaluation(tuple(results), _mean(results, config), config, truth)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """What the exact numbers and their resamples are both computed from.

    Attributes:
        seed: Seeds the resamples.
        scores: ``(K,)`` scores of the labelled pictures.
        labels: ``(K,)`` their labels.
        masked: ``(M,)`` which of them count for the pixel metrics.
        histograms: M rows, or ``None`` where every pixel metric is undefined.
        image: The pictures' curve.
        pixel: The pixels' curve.
        fpr_limit: For AUPRO.
    """

    seed: tuple[int, int]
    scores: NDArray[np.float32]
    labels: NDArray[np.bool_]
    masked: list[int]
    histograms: ScoreHistograms | None
    image: RankingCurve
    pixel: RankingCurve
    fpr_limit: float

    def values(self) -> dict[str, Array]:
        return _image_values(self.image) | _pixel_values(self.pixel, self.fpr_limit)

    def quantisation_shift(self) -> dict[str, float]:
        """Exact number minus the one from the histograms, per metric."""
        shift = dict.fromkeys(METRICS, 0.0)
        if self.histograms is not None:
            exact = _pixel_values(self.pixel, self.fpr_limit)
            rough = _pixel_values(self.histograms.curve(), self.fpr_limit)
            shift |= {name: float(exact[name] - rough[name]) for name in PIXEL_METRICS}
        return {name: 0.0 if np.isnan(gap) else gap for name, gap in shift.items()}

    def replicates(self, n_resamples: int) -> dict[str, Array]:
        shift = self.quantisation_shift()
        drawn = replicate(self._resampled, len(self.scores), n_resamples, self.seed)
        return {name: np.clip(drawn[name] + shift[name], 0, 1) for name in METRICS}

    def _resampled(self, weights: NDArray[np.float32]) -> dict[str, Array]:
        drawn: dict[str, Array] = dict.fromkeys(METRICS, np.full(len(weights), np.nan))
        if len(self.scores):
            drawn |= _image_values(picture_curve(self.scores, self.labels, weights))
        if self.histograms is not None:
            curve = self.histograms.curve(weights[:, self.masked])
            drawn |= _pixel_values(curve, self.fpr_limit)
        return drawn


def _evaluate(pictures: _Pictures, fpr_limit: float, config: BootstrapConfig) -> MapMetrics:
    known = [i for i, label in enumerate(pictures.labels) if label is not None]
    masked = [row for row, i in enumerate(known) if pictures.has_pixels(i)]
    pixels = [pictures.pixels(known[row]) for row in masked]
    labels = np.array([pictures.labels[i] for i in known], dtype=bool)
    scores, pixel = pictures.scores[known], pixel_curve(pixels)
    ranked = _Ranked(
        seed=(config.seed, zlib.crc32(pictures.category.encode(errors="replace"))),
        scores=scores,
        labels=labels,
        masked=masked,
        histograms=_histograms(pixels, pixel),
        image=RankingCurve.from_scores(scores, labels),
        pixel=pixel,
        fpr_limit=fpr_limit,
    )
    values = {name: float(number) for name, number in ranked.values().items()}
    replicates = ranked.replicates(config.n_resamples)
    counts = dict.fromkeys(IMAGE_METRICS, len(known)) | dict.fromkeys(PIXEL_METRICS, len(masked))
    return MapMetrics(
        pictures.category,
        **estimates(values, replicates, counts, config),
        image_threshold=float(ranked.image.f1_max()[1]),
        pixel_threshold=float(pixel.f1_max()[1]),
        n_pictures=len(known),
        n_defective=int(labels.sum()),
        n_unlabelled=len(pictures.labels) - len(known),
        n_masked=len(masked),
        n_empty_masks=sum(
            bool(labels[row]) and part.regions is None
            for row, part in zip(masked, pixels, strict=True)
        ),
        n_regions=sum(part.areas.size for part in pixels),
        n_pixels=sum(part.scores.size for part in pixels),
        quantisation_error=max(abs(gap) for gap in ranked.quantisation_shift().values()),
        replicates=replicates,
    )


def _image_values(curve: RankingCurve) -> dict[str, Array]:
    numbers = (curve.auroc(), curve.average_precision(), curve.f1_max()[0])
    return dict(zip(IMAGE_METRICS, numbers, strict=True))


def _pixel_values(curve: RankingCurve, fpr_limit: float) -> dict[str, Array]:
    numbers = (curve.auroc(), curve.average_precision(), curve.f1_max()[0])
    return dict(zip(PIXEL_METRICS, (*numbers, aupro(curve, fpr_limit)), strict=True))


def _histograms(pixels: list[PicturePixels], exact: RankingCurve) -> ScoreHistograms | None:
    """Histograms to resample, or ``None`` where every pixel metric is undefined."""
    if not exact.positives.any():
        return None
    return ScoreHistograms.of(pixels, ranking_edges(exact))


def _mean(results: list[MapMetrics], config: BootstrapConfig) -> MapMetrics:
    values, replicates, counts = {}, {}, {}
    for name in METRICS:
        defined = [row for row in results if not np.isnan(getattr(row, name).value)]
        counts[name] = len(defined)
        numbers = [getattr(row, name).value for row in defined]
        values[name] = float(np.mean(numbers)) if defined else float("nan")
        drawn = [row.replicates[name] for row in defined]
        replicates[name] = np.mean(drawn, axis=0) if drawn else np.full(config.n_resamples, np.nan)
    totals: dict[str, Any] = {
        name: sum(getattr(row, name) for row in results)
        for name in MapMetrics.__slots__
        if name.startswith("n_")
    }
    return MapMetrics(
        MEAN,
        **estimates(values, replicates, counts, config),
        image_threshold=float("nan"),
        pixel_threshold=float("nan"),
        quantisation_error=max((row.quantisation_error for row in results), default=0.0),
        replicates=replicates,
        **totals,
    )
