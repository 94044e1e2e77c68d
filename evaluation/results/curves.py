"""The curves behind the numbers, thinned to what a screen can show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millsight.evaluation.metrics import BootstrapConfig, BoxMatches, RankingCurve
from millsight.evaluation.metrics.aupro import FPR_LIMIT
from millsight.evaluation.metrics.ranking import Array
from millsight.evaluation.results.judging import judge_classes, match_rows, with_boxes
from millsight.evaluation.results.judging_maps import category_curves
from millsight.evaluation.results.row import PictureResult
from millsight.evaluation.results.table import from_table, without_histograms

POINTS = 200
CATEGORIES = 8
Points = tuple[list[float], list[float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines over one pair of axes, both from 0 to 1.

    Attributes:
        name: ``roc``, ``precision_recall``, ``pro``, ``box_precision_recall`` or ``reliability``.
        title: For people.
        x_label: Of the x axis.
        y_label: Of the y axis.
        series: Name to x and y values, ``POINTS`` at most.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Points]

    def to_dict(self) -> dict[str, object]:
        """For JSON: each series as ``{"x": [...], "y": [...]}``."""
        lines = {name: {"x": x, "y": y} for name, (x, y) in self.series.items()}
        labels = {"x_label": self.x_label, "y_label": self.y_label}
        return {"name": self.name, "title": self.title, **labels, "series": lines}


def result_curves(table: pa.Table) -> list[Curve]:
    """Draw the curves of every task that a table holds; those without a point are left out.

    Of scores and maps, the first eight categories are drawn.

    Args:
        table: A result table.
    """
    rows = list(from_table(without_histograms(table)))
    curves = [*_ranking(table), _box_curve(rows), _reliability(rows)]
    return [curve for curve in curves if curve.series]


def thin(x: Array, y: Array, points: int = POINTS) -> Points:
    """Keep the points that are evenly spaced along the line, both ends included."""
    steps = np.abs(np.diff(x, prepend=x[:1])) + np.abs(np.diff(y, prepend=y[:1]))
    along = steps.cumsum()
    kept = np.searchsorted(along, np.linspace(0, along[-1], min(points, x.size)))
    kept = np.unique(np.concatenate((np.minimum(kept, x.size - 1), [x.size - 1])))[-points:]
    return x[kept].round(5).tolist(), y[kept].round(5).tolist()


def _ranking(table: pa.Table) -> Iterator[Curve]:
    categories = sorted(table["category"].unique().to_pylist())[:CATEGORIES]
    found = {
        (f"{name}, " if len(categories) > 1 else ""): category_curves(table, name)
        for name in categories
    }
    ranked = {f"{before}pictures": image for before, (image, _) in found.items()}
    ranked |= {f"{before}pixels": pixel for before, (_, pixel) in found.items()}
    known = {name: c for name, c in ranked.items() if c.positives.any() and c.negatives.any()}
    regions = {f"{before}regions": ranked[f"{before}pixels"] for before in found}
    roc = {name: _roc(curve) for name, curve in known.items()}
    precision = {name: _precision_recall(curve) for name, curve in known.items()}
    pro = {
        name: _pro(curve)
        for name, curve in regions.items()
        if curve.overlap.any() and curve.negatives.any()
    }
    yield Curve("roc", "ROC", "false-positive rate", "recall", roc)
    yield Curve("precision_recall", "Precision and recall", "recall", "precision", precision)
    yield Curve("pro", "Per-region overlap", "false-positive rate", "overlap", pro)


def _roc(curve: RankingCurve) -> Points:
    alarms = _from_zero(curve.negatives.cumsum() / curve.negatives.sum())
    return thin(alarms, _from_zero(curve.positives.cumsum() / curve.positives.sum()))


def _precision_recall(curve: RankingCurve) -> Points:
    caught = curve.positives.cumsum()
    called = caught + curve.negatives.cumsum()
    some = called > 0
    recall, precision = (caught / caught[-1])[some], caught[some] / called[some]
    return thin(np.append(0.0, recall), np.append(precision[0], precision))


def _pro(curve: RankingCurve) -> Points:
    fpr = _from_zero(curve.negatives.cumsum() / curve.negatives.sum())
    overlap = _from_zero(curve.overlap.cumsum() / curve.overlap.sum())
    at_limit = float(np.interp(FPR_LIMIT, fpr, overlap))
    inside = fpr <= FPR_LIMIT
    return thin(np.append(fpr[inside], FPR_LIMIT), np.append(overlap[inside], at_limit))


def _from_zero(values: Array) -> Array:
    return np.append(0.0, values)


def _box_curve(rows: Sequence[PictureResult]) -> Curve:
    kept = with_boxes(rows)
    series = dict(_box_lines(match_rows(kept))) if kept else {}
    title = "Boxes at IoU 0.5"
    return Curve("box_precision_recall", title, "recall", "precision", series)


def _box_lines(matches: BoxMatches) -> Iterator[tuple[str, Points]]:
    """One line per class with a true box: precision is the best at a recall or above, as in AP."""
    for label, name in enumerate(matches.classes):
        n_truth = (matches.truth_counted[0] & (matches.truth_label == label)).sum()
        own = (matches.label == label) & ~matches.ignored[0, 0]
        order = np.flatnonzero(own)[np.argsort(-matches.score[own], kind="stable")]
        if not n_truth:
            continue
        caught = matches.hit[0, 0, order].cumsum()
        precision = caught / np.arange(1, order.size + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        recall = np.append(0.0, caught / n_truth)
        yield name, thin(recall, np.append(best[:1], best) if order.size else np.zeros(1))


def _reliability(rows: Sequence[PictureResult]) -> Curve:
    title = "Reliability"
    found = judge_classes(rows, bootstrap=BootstrapConfig(n_resamples=0))
    series: dict[str, Points] = {}
    if found is not None and found.overall.n_calibrated:
        bins = found.reliability
        used = bins.counts > 0
        series["classes"] = (bins.confidence[used].tolist(), bins.accuracy[used].tolist())
    return Curve("reliability", title, "stated confidence", "share of right calls", series)
