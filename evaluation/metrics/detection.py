"""Judge predicted boxes: mean average precision and recall as COCO defines them, with intervals.

Boxes are matched once (:class:`~millsight.evaluation.metrics.box_matches.BoxMatches`). A resample
of the pictures is a row of weights over those matches, so no resample matches anything again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.bootstrap import Estimate, replicate
from millsight.evaluation.metrics.box_matches import (
    ANY_SIZE,
    COCO_SIZES,
    MAX_DETECTIONS,
    BoxMatches,
    PictureBoxes,
    Sizes,
)
from millsight.evaluation.metrics.coco_matching import IOU_THRESHOLDS
from millsight.evaluation.metrics.ranking import Array, ratio
from millsight.evaluation.metrics.results import BootstrapConfig, Row, estimates

AVERAGE_RECALLS = tuple(f"ar_{limit}" for limit in MAX_DETECTIONS)
DETECTION_METRICS = ("map_50", "map_50_95", *AVERAGE_RECALLS)
RECALLS = np.linspace(0, 1, 101)

_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class DetectionMetrics(Row):
    """The numbers of all boxes, of one class, or of one size. Undefined is NaN.

    Attributes:
        name: ``"all"``, ``"class:NAME"`` or ``"size:NAME"``.
        map_50: Average precision at IoU 0.5 (101 recall levels), averaged over the classes that
            have a true box here.
        map_50_95: The same, also averaged over IoU 0.5, 0.55, ..., 0.95.
        ar_1: Recall with the one surest box per picture and class, averaged likewise.
        ar_10: The same with the ten surest.
        ar_100: The same with the hundred surest.
        n_truth: True boxes here, without crowds.
        n_classes: Classes with a true box here: those that the means run over.
    """

    name: str
    map_50: Estimate
    map_50_95: Estimate
    ar_1: Estimate
    ar_10: Estimate
    ar_100: Estimate
    n_truth: int
    n_classes: int


@dataclass(frozen=True, slots=True)
class DetectionEvaluation:
    """Metrics of all boxes, of every class and of every size.

    Attributes:
        all: All boxes.
        classes: One entry per class, in the order of the class names.
        sizes: One entry per size.
        n_pictures: Pictures, those without boxes included.
        n_dropped: Predictions beyond the 100 surest of their picture and class, not judged.
        bootstrap: How the intervals were drawn.
        truth: Checksum of true boxes, class names and sizes.
    """

    all: DetectionMetrics
    classes: tuple[DetectionMetrics, ...]
    sizes: tuple[DetectionMetrics, ...]
    n_pictures: int
    n_dropped: int
    bootstrap: BootstrapConfig
    truth: int

    def rows(self) -> dict[str, DetectionMetrics]:
        """Every entry by its name."""
        return {row.name: row for row in (self.all, *self.classes, *self.sizes)}

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "all": self.all.to_dict(),
            "classes": [row.to_dict() for row in self.classes],
            "sizes": [row.to_dict() for row in self.sizes],
            "n_pictures": self.n_pictures,
            "n_dropped": self.n_dropped,
        }


def evaluate_boxes(
    pictures: Sequence[PictureBoxes],
    classes: Sequence[str],
    *,
    sizes: Sizes = COCO_SIZES,
    bootstrap: BootstrapConfig | None = None,
) -> DetectionEvaluation:
    """COCO's mAP and AR over all boxes, per class and per defect size, with bootstrap intervals.

    Args:
        pictures: True and predicted boxes of every picture, those without boxes included.
        classes: Class names; a label is an index into them. A class without a true box is
            undefined, and what is predicted of it counts nowhere, as in COCO's own code.
        sizes: Name to smallest and largest area in square pixels, both included.
        bootstrap: How intervals are drawn.

    Raises:
        ValueError: If arrays of a picture differ in length, a label is no index into ``classes``,
            or a box or score is not finite.
    """
    return evaluate_matches(BoxMatches.of(pictures, classes, sizes), bootstrap)


def evaluate_matches(
    matches: BoxMatches, bootstrap: BootstrapConfig | None = None
) -> DetectionEvaluation:
    """Judge matched boxes, such as those of merged shards.

    Args:
        matches: See :meth:`BoxMatches.of` and :meth:`BoxMatches.merge`.
        bootstrap: How intervals are drawn.
    """
    config = bootstrap or BootstrapConfig()
    rows = list(_rows(matches, config))
    identity = repr((matches.classes, matches.sizes)).encode() + matches.digests.tobytes()
    n_classes = len(matches.classes)
    return DetectionEvaluation(
        all=rows[0],
        classes=tuple(rows[1 : 1 + n_classes]),
        sizes=tuple(rows[1 + n_classes :]),
        n_pictures=matches.n_pictures,
        n_dropped=matches.n_dropped,
        bootstrap=config,
        truth=zlib.crc32(identity),
    )


def _rows(matches: BoxMatches, config: BootstrapConfig) -> Iterator[DetectionMetrics]:
    def measure(weights: NDArray[np.float32]) -> dict[str, Array]:
        rows = max(1, _CELLS // max(matches.score.size, 1))
        blocks = [weights[i : i + rows] for i in range(0, max(len(weights), 1), rows)]
        parts = [_measure(matches, block) for block in blocks]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    n = matches.n_pictures
    table = _measure(matches, np.ones((1, n), np.float32))
    drawn = replicate(measure, n, config.n_resamples, config.seed)
    of_label = matches.truth_label == np.arange(len(matches.classes))[:, None]
    n_truth = matches.truth_counted.astype(np.int64) @ of_label.T
    for name, size, chosen in _slices(matches):
        values = {key: float(_mean(table[key][:, size, chosen])[0]) for key in DETECTION_METRICS}
        replicates = {key: _mean(drawn[key][:, size, chosen]) for key in DETECTION_METRICS}
        yield DetectionMetrics(
            name,
            **estimates(values, replicates, dict.fromkeys(DETECTION_METRICS, n), config),
            n_truth=int(n_truth[size, chosen].sum()),
            n_classes=int((n_truth[size, chosen] > 0).sum()),
            replicates=replicates,
        )


def _slices(matches: BoxMatches) -> Iterator[tuple[str, int, slice]]:
    """Name, row of the sizes and columns of the classes of every entry of a result."""
    yield "all", 0, slice(None)
    for label, name in enumerate(matches.classes):
        yield f"class:{name}", 0, slice(label, label + 1)
    for row, name in enumerate(matches.sizes):
        if name != ANY_SIZE:
            yield f"size:{name}", row, slice(None)


def _mean(values: Array) -> Array:
    """Mean of the defined values along the last axis; NaN where there is none."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(-1), known.sum(-1).astype(np.float64))


def _measure(matches: BoxMatches, weights: NDArray[np.float32]) -> dict[str, Array]:
    """Every metric per class and size: ``(r, S, K)`` each, from ``(r, N)`` weights."""
    shape = (len(weights), len(matches.sizes), len(matches.classes))
    table = {name: np.full(shape, np.nan) for name in DETECTION_METRICS}
    for label in range(shape[2] if len(weights) else 0):
        own = np.flatnonzero(matches.label == label)
        order = own[np.argsort(-matches.score[own], kind="stable")]
        drawn = weights[:, matches.picture[order]].astype(np.float64)
        for size in range(shape[1]):
            counted = matches.truth_counted[size] & (matches.truth_label == label)
            if not counted.any():
                continue
            n_truth = weights[:, matches.truth_picture[counted]].sum(1, dtype=np.float64)
            hit, ignored = matches.hit[size][:, order], matches.ignored[size][:, order]
            precision = average_precisions(drawn, hit, ignored, n_truth)
            table["map_50"][:, size, label] = precision[:, 0]
            table["map_50_95"][:, size, label] = precision.mean(1)
            for name, limit in zip(AVERAGE_RECALLS, MAX_DETECTIONS, strict=True):
                share = (hit & (matches.rank[order] < limit)).mean(0)
                table[name][:, size, label] = ratio(drawn @ share, n_truth)
    return table


def average_precisions(
    weights: Array, hit: NDArray[np.bool_], ignored: NDArray[np.bool_], n_truth: Array
) -> Array:
    """Average precision at 101 recall levels of one class, for many resamples at once.

    Equal to COCO's accumulation over the pictures of each resample, a picture drawn twice lying
    beside itself.

    Args:
        weights: ``(r, D)``, how often a resample counts each prediction, surest first.
        hit: ``(T, D)``.
        ignored: ``(T, D)``.
        n_truth: ``(r,)``, true boxes of each resample.

    Returns:
        ``(r, T)`` in [0, 1]; NaN without true boxes.
    """
    enough = _hits_needed(n_truth)
    found = np.empty((len(weights), IOU_THRESHOLDS.size))
    everything = weights.cumsum(1)
    for t in range(IOU_THRESHOLDS.size):
        called = (weights * ~ignored[t]).cumsum(1) if ignored[t].any() else everything
        caught = weights[:, hit[t]].cumsum(1)
        precision = caught / np.maximum(called[:, hit[t]], 1)
        # Precision at a recall is the best at that recall or above; unreached recalls have none.
        best = np.zeros((len(weights), caught.shape[1] + 1))
        best[:, :-1] = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        found[:, t] = np.take_along_axis(best, _first_reaching(caught, enough), axis=1).mean(1)
    return np.where(n_truth[:, None] > 0, found, np.nan)


def _hits_needed(n_truth: Array) -> Array:
    """``(r, 101)``: fewest hits whose recall, as a floating-point number, reaches each level."""
    total = np.maximum(n_truth, 1)[:, None]
    hits = np.ceil(RECALLS * total)
    hits += hits / total < RECALLS
    return hits - ((hits - 1) / total >= RECALLS)


def _first_reaching(caught: Array, enough: Array) -> NDArray[np.int64]:
    """Per row, the first column at which ``caught`` (rising) is at least ``enough``.

    Returns:
        ``(r, 101)``; the number of columns where none is.
    """
    rows, columns = caught.shape
    # Rows laid end to end, each lifted above the one before, are one rising sequence to search.
    lift = np.arange(rows)[:, None] * (max(caught.max(initial=0), enough.max(initial=0)) + 1)
    index = np.searchsorted((caught + lift).ravel(), (enough + lift).ravel())
    index = index.reshape(enough.shape) - np.arange(rows)[:, None] * columns
    first: NDArray[np.int64] = np.minimum(index, columns)
    return first
