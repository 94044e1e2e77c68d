"""Synthetic pictures as a detector's training data, beside the labelled ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import Sample
from millsight.pretraining.detector.config import DetectorTrainingConfig
from millsight.pretraining.detector.exact_boxes import sample_boxes
from millsight.pretraining.detector.pictures import BoxedPicture, DetectionData
from millsight.pretraining.downstream.extra import MixedPictures, check_label, stand_ins, tell


def read_extra(catalogs: Sequence[Catalog], classes: Sequence[str]) -> list[BoxedPicture]:
    """Return the pictures with their boxes, or those of their masks.

    Args:
        catalogs: Of ``open_sets``.
        classes: Names of the labelled pictures' classes; a label is an index into them.

    Raises:
        UserError: If a picture shows another class, or a mask cannot be read.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    return [_boxed(sample, numbers) for catalog in catalogs for sample in catalog]


class MixedDetectionData(DetectionData):
    """Labelled pictures, synthetic ones in place of some, and pictures of validation.

    Args:
        learned: Labelled pictures.
        extra: Synthetic ones.
        validated: Pictures to choose by.
        config: Batch size, augmentation and seed.
        loaders: Processes that read ahead; 0 reads between the steps.
        share: See ``MixedPictures``.
    """

    def __init__(
        self,
        learned: Sequence[BoxedPicture],
        extra: Sequence[BoxedPicture],
        validated: Sequence[BoxedPicture],
        config: DetectorTrainingConfig,
        loaders: int,
        *,
        share: float,
    ) -> None:
        super().__init__([*learned, *extra], validated, config, loaders)
        real, synthetic = ([one.labels.tolist() for one in part] for part in (learned, extra))
        self.learned = MixedPictures(self.learned, stand_ins(real, synthetic), share, config.seed)


def tell_classes(
    learned: Sequence[BoxedPicture], extra: Sequence[BoxedPicture], classes: Sequence[str]
) -> None:
    """Say how many pictures show each class; see ``tell``."""
    real, synthetic = (
        Counter(classes[label] for one in part for label in set(one.labels.tolist()))
        for part in (learned, extra)
    )
    tell(real, synthetic)


def _boxed(sample: Sample, numbers: dict[str, int]) -> BoxedPicture:
    boxes = sample_boxes(sample)
    names = sample.box_labels or (str(sample.label),) * len(boxes)
    labels = np.array([numbers[check_label(name, numbers, sample)] for name in names], np.int64)
    return BoxedPicture(sample.uri, boxes, labels, sample.id)
