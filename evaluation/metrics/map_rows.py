"""Rows of a map evaluation, from curves and from histograms that can be resampled."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.aupro import FPR_LIMIT, aupro
from millsight.evaluation.metrics.bootstrap import picture_curve, replicate
from millsight.evaluation.metrics.histograms import ScoreHistograms
from millsight.evaluation.metrics.ranking import Array, RankingCurve
from millsight.evaluation.metrics.results import (
    IMAGE_METRICS,
    MEAN,
    METRICS,
    PIXEL_METRICS,
    BootstrapConfig,
    MapMetrics,
    estimates,
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """What the numbers of one category and their resamples are both computed from.

    Attributes:
        seed: Seeds the resamples; see :func:`category_seed`.
        n_pictures: Labelled pictures, K: those that are resampled.
        scored: ``(C,)`` which of them have a score.
        scores: ``(C,)`` their scores.
        labels: ``(C,)`` their labels.
        masked: ``(M,)`` which of the K count for the pixel metrics.
        histograms: M rows, or ``None`` where every pixel metric is undefined.
        image: The pictures' curve.
        pixel: The pixels' curve; exact where it is known, for resamples are shifted by what the
            histograms' own curve differs from it.
        fpr_limit: For AUPRO.
    """

    seed: tuple[int, int]
    n_pictures: int
    scored: NDArray[np.int64]
    scores: NDArray[np.float32]
    labels: NDArray[np.bool_]
    masked: NDArray[np.int64]
    histograms: ScoreHistograms | None
    image: RankingCurve
    pixel: RankingCurve
    fpr_limit: float = FPR_LIMIT

    def values(self) -> dict[str, Array]:
        """Every metric on the pictures as they are."""
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
        """``(R,)`` values of every metric."""
        shift = self.quantisation_shift()
        drawn = replicate(self._resampled, self.n_pictures, n_resamples, self.seed)
        return {name: np.clip(drawn[name] + shift[name], 0, 1) for name in METRICS}

    def _resampled(self, weights: NDArray[np.float32]) -> dict[str, Array]:
        drawn: dict[str, Array] = dict.fromkeys(METRICS, np.full(len(weights), np.nan))
        if len(self.scores):
            chosen = weights[:, self.scored]
            drawn |= _image_values(picture_curve(self.scores, self.labels, chosen))
        if self.histograms is not None:
            curve = self.histograms.curve(weights[:, self.masked])
            drawn |= _pixel_values(curve, self.fpr_limit)
        return drawn


def category_seed(category: str, seed: int) -> tuple[int, int]:
    """Seed of one category's resamples: the same for every run over its pictures."""
    return seed, zlib.crc32(category.encode(errors="replace"))


def map_row(
    category: str, ranked: Ranked, counts: Mapping[str, Any], config: BootstrapConfig
) -> MapMetrics:
    """Compute the numbers of one category.

    Args:
        category: Its name.
        ranked: Its pictures.
        counts: ``n_pictures`` and the other counts of :class:`MapMetrics`.
        config: How intervals are drawn.
    """
    values = {name: float(number) for name, number in ranked.values().items()}
    replicates = ranked.replicates(config.n_resamples)
    pictures = dict.fromkeys(IMAGE_METRICS, len(ranked.scores))
    pictures |= dict.fromkeys(PIXEL_METRICS, len(ranked.masked))
    return MapMetrics(
        category,
        **estimates(values, replicates, pictures, config),
        image_threshold=float(ranked.image.f1_max()[1]),
        pixel_threshold=float(ranked.pixel.f1_max()[1]),
        quantisation_error=max(abs(gap) for gap in ranked.quantisation_shift().values()),
        replicates=replicates,
        **counts,
    )


def mean_row(rows: Sequence[MapMetrics], config: BootstrapConfig) -> MapMetrics:
    """Average every metric over the categories where it is defined."""
    values, replicates, counts = {}, {}, {}
    for name in METRICS:
        defined = [row for row in rows if not np.isnan(getattr(row, name).value)]
        counts[name] = len(defined)
        numbers = [getattr(row, name).value for row in defined]
        values[name] = float(np.mean(numbers)) if defined else float("nan")
        drawn = [row.replicates[name] for row in defined]
        replicates[name] = np.mean(drawn, axis=0) if drawn else np.full(config.n_resamples, np.nan)
    totals: dict[str, Any] = {
        name: sum(getattr(row, name) for row in rows)
        for name in MapMetrics.__slots__
        if name.startswith("n_")
    }
    return MapMetrics(
        MEAN,
        **estimates(values, replicates, counts, config),
        image_threshold=float("nan"),
        pixel_threshold=float("nan"),
        quantisation_error=max((row.quantisation_error for row in rows), default=0.0),
        replicates=replicates,
        **totals,
    )


def _image_values(curve: RankingCurve) -> dict[str, Array]:
    numbers = (curve.auroc(), curve.average_precision(), curve.f1_max()[0])
    return dict(zip(IMAGE_METRICS, numbers, strict=True))


def _pixel_values(curve: RankingCurve, fpr_limit: float) -> dict[str, Array]:
    numbers = (curve.auroc(), curve.average_precision(), curve.f1_max()[0])
    return dict(zip(PIXEL_METRICS, (*numbers, aupro(curve, fpr_limit)), strict=True))
