"""Metrics as pure functions on arrays: ranking, overlap, samples, boxes, classes; bootstrap."""

from millsight.evaluation.metrics.aupro import aupro
from millsight.evaluation.metrics.bootstrap import Estimate
from millsight.evaluation.metrics.box_matches import COCO_SIZES, BoxMatches, PictureBoxes
from millsight.evaluation.metrics.classification import evaluate_classes
from millsight.evaluation.metrics.classification_results import (
    ClassificationEvaluation,
    ClassificationMetrics,
    ClassMetrics,
    ReliabilityBins,
)
from millsight.evaluation.metrics.detection import (
    DetectionEvaluation,
    DetectionMetrics,
    evaluate_boxes,
    evaluate_matches,
)
from millsight.evaluation.metrics.histograms import ScoreHistograms
from millsight.evaluation.metrics.maps import evaluate_maps
from millsight.evaluation.metrics.masks import DefectShape, count_masks, defect_shape
from millsight.evaluation.metrics.picture_counts import (
    AREA_EDGES,
    ELONGATION_EDGES,
    PictureCounts,
    bin_slices,
)
from millsight.evaluation.metrics.pixels import picture_pixels, pixel_curve
from millsight.evaluation.metrics.ranking import RankingCurve
from millsight.evaluation.metrics.results import (
    BootstrapConfig,
    MapEvaluation,
    MapMetrics,
    compare,
)
from millsight.evaluation.metrics.sample_results import SampleEvaluation, SampleMetrics, UnitCosts
from millsight.evaluation.metrics.samples import evaluate_samples

__all__ = [
    "AREA_EDGES",
    "COCO_SIZES",
    "ELONGATION_EDGES",
    "BootstrapConfig",
    "BoxMatches",
    "ClassMetrics",
    "ClassificationEvaluation",
    "ClassificationMetrics",
    "DefectShape",
    "DetectionEvaluation",
    "DetectionMetrics",
    "Estimate",
    "MapEvaluation",
    "MapMetrics",
    "PictureBoxes",
    "PictureCounts",
    "RankingCurve",
    "ReliabilityBins",
    "SampleEvaluation",
    "SampleMetrics",
    "ScoreHistograms",
    "UnitCosts",
    "aupro",
    "bin_slices",
    "compare",
    "count_masks",
    "defect_shape",
    "evaluate_boxes",
    "evaluate_classes",
    "evaluate_maps",
    "evaluate_matches",
    "evaluate_samples",
    "picture_pixels",
    "pixel_curve",
]
