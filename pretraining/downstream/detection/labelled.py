"""Labelled samples as a detector's training data."""

from __future__ import annotations

import numpy as np

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.progress import Progress
from millsight.pretraining.detector.pictures import BoxedPicture
from millsight.pretraining.downstream.detection.commands import FinetuneDetectionConfig
from millsight.pretraining.downstream.labelled import LabelledData, draw_labelled
from millsight.pretraining.downstream.parts import split_catalog


def choose(
    catalog: Catalog, config: FinetuneDetectionConfig, progress: Progress
) -> LabelledData[BoxedPicture]:
    """Divide a catalog, draw the labelled pictures, and set aside what cannot be read.

    Only pictures with boxes, and those known to be good, teach anything: one that nobody labelled
    may hold any defect.

    Raises:
        UserError: If nothing is labelled, or not enough.
    """
    settings = config.training
    parts = split_catalog(
        catalog,
        data=config.data,
        split=config.split,
        holdout=settings.holdout,
        seed=settings.seed,
    )
    learned, validated = (_labelled(part) for part in (parts.train, parts.val))
    for part, found in (("train", learned), ("val", validated)):
        if not any(sample.boxes for sample in found):
            raise UserError(
                f"--data {config.data}: no picture of split {part!r} has a box; name a set with "
                "boxes (millsight data inspect shows them)."
            )
    classes = sorted({name for part in (learned, validated) for s in part for name in s.box_labels})
    data = draw_labelled(
        catalog,
        parts,
        classes,
        settings,
        learned=learned,
        validated=validated,
        seed=settings.seed,
        progress=progress,
    )
    numbers = {name: number for number, name in enumerate(classes)}
    return LabelledData(
        data.classes,
        [_boxed(sample, numbers) for sample in data.learned],
        [_boxed(sample, numbers) for sample in data.validated],
        data.predicted,
        data.quarantined,
    )


def _labelled(catalog: Catalog) -> list[Sample]:
    return [sample for sample in catalog if sample.boxes or sample.defective is False]


def _boxed(sample: Sample, numbers: dict[str, int]) -> BoxedPicture:
    return BoxedPicture(
        sample.uri,
        np.array(sample.boxes, np.float32).reshape(-1, 4),
        np.array([numbers[name] for name in sample.box_labels], np.int64),
        sample.id,
    )
