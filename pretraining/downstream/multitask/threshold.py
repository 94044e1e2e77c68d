"""The two thresholds, chosen on validation pictures only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.ranking import RankingCurve
from millsight.platform.errors import UserError
from millsight.pretraining.downstream.multitask.data import read_truth
from millsight.pretraining.downstream.multitask.predict import Prediction

# Evenly spaced in log odds, from 0.0009 to 0.9991: Dice drives probabilities to both ends.
CANDIDATES: NDArray[np.float64] = 1 / (1 + np.exp(-np.linspace(-7, 7, 57)))
DEFAULT_PIXEL = 0.5


@dataclass(frozen=True)
class Thresholds:
    """Where a probability becomes a decision; what reaches the threshold is called defective.

    Attributes:
        sample: Of the sample's score, in [0, 1].
        pixel: Of a pixel's probability, in (0, 1).
        sample_f1: F1 of the samples on the validation pictures it was chosen on.
        mean_iou: At ``pixel``, mean of |P and G| / |P or G| over the defective validation pictures
            that are caught and outlined; NaN without one.
    """

    sample: float
    pixel: float
    sample_f1: float
    mean_iou: float


def choose_thresholds(predictions: Iterable[Prediction]) -> Thresholds:
    """Choose both thresholds.

    The sample's is the one of highest F1 over samples whose label is known. The pixel's is the one
    of highest Seg_mIoU (METHODS.md section 5) among ``CANDIDATES``: with the decisions fixed, that
    is the one of the highest mean IoU over defective pictures that are caught.

    Raises:
        UserError: See ``check_labels``.
    """
    scores, labels, overlaps = [], [], []
    for prediction in predictions:
        height, width = prediction.probability.shape
        truth = read_truth(prediction.sample, (width, height))
        if truth.defective is None:
            continue
        scores.append(prediction.score)
        labels.append(truth.defective)
        outlined = truth.defective and truth.mask is not None
        overlaps.append(_overlaps(prediction, truth.mask) if outlined else None)
    check_labels(labels)
    f1, sample = RankingCurve.from_scores(scores, labels).f1_max()
    caught = [
        overlap
        for score, overlap in zip(scores, overlaps, strict=True)
        if overlap is not None and score >= float(sample)
    ]
    pixel, mean_iou = _best_pixel(caught)
    return Thresholds(float(sample), pixel, float(f1), mean_iou)


def check_labels(labels: Sequence[bool] | NDArray[np.bool_]) -> None:
    """Refuse validation labels that no threshold can be chosen by.

    Args:
        labels: True for a defective sample.

    Raises:
        UserError: If none is defective, or none good.
    """
    if all(labels) or not any(labels):
        raise UserError(
            "--data: the thresholds need defective and good validation pictures, and of "
            f"{len(labels)} labelled ones {sum(labels)} are defective; put both into its val split "
            "(millsight data split), or raise --training.holdout."
        )


def _overlaps(prediction: Prediction, mask: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Return float64 (57,), the IoU at each candidate, from one histogram of both masks."""
    edges = np.concatenate(([0.0], CANDIDATES, [np.inf]))
    called = np.histogram(prediction.probability, edges)[0]
    right = np.histogram(prediction.probability[mask], edges)[0]
    n_called, n_right = (counts[::-1].cumsum()[::-1][1:] for counts in (called, right))
    overlaps: NDArray[np.float64] = n_right / (n_called + right.sum() - n_right)
    return overlaps


def _best_pixel(overlaps: list[NDArray[np.float64]]) -> tuple[float, float]:
    if not overlaps:
        return DEFAULT_PIXEL, float("nan")
    means = np.mean(overlaps, axis=0)
    return float(CANDIDATES[means.argmax()]), float(means.max())
