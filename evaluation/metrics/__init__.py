"""Metrics as pure functions on arrays: ranking, region overlap, bootstrap over pictures."""

from millsight.evaluation.metrics.aupro import aupro
from millsight.evaluation.metrics.bootstrap import Estimate
from millsight.evaluation.metrics.histograms import ScoreHistograms
from millsight.evaluation.metrics.maps import evaluate_maps
from millsight.evaluation.metrics.pixels import picture_pixels, pixel_curve
from millsight.evaluation.metrics.ranking import RankingCurve
from millsight.evaluation.metrics.results import (
    BootstrapConfig,
    MapEvaluation,
    MapMetrics,
    compare,
)

__all__ = [
    "BootstrapConfig",
    "Estimate",
    "MapEvaluation",
    "MapMetrics",
    "RankingCurve",
    "ScoreHistograms",
    "aupro",
    "compare",
    "evaluate_maps",
    "picture_pixels",
    "pixel_curve",
]
