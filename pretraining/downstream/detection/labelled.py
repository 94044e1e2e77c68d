"""Labelled samples as a detector's training data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.draw import draw
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.progress import Progress
from millsight.pretraining.detector.pictures import BoxedPicture
from millsight.pretraining.downstream.detection.commands import FinetuneDetectionConfig
from millsight.pretraining.downstream.parts import readable, split_catalog


@dataclass(frozen=True)
class LabelledData:
    """What is learnt from, chosen by and predicted.

    Attributes:
        classes: Names in alphabetical order; a label is an index into them.
        learned: To learn from.
        validated: To choose by.
        predicted: To predict; their truth is not used.
        quarantined: Pictures that cannot be read, and why.
    """

    classes: tuple[str, ...]
    learned: list[BoxedPicture]
    validated: list[BoxedPicture]
    predicted: list[Sample]
    quarantined: list[dict[str, Any]]


def choose(catalog: Catalog, config: FinetuneDetectionConfig, progress: Progress) -> LabelledData:
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
    learned = draw(learned, settings.labelled, settings.seed, "--training.labelled")
    count = min(settings.validated or len(validated), len(validated))
    validated = draw(validated, count, settings.seed, "--training.validated")
    sound, broken = readable([*learned, *validated], progress)
    numbers = {name: number for number, name in enumerate(classes)}
    return LabelledData(
        tuple(classes),
        [_boxed(sample, numbers) for sample in learned if sample.uri in sound],
        [_boxed(sample, numbers) for sample in validated if sample.uri in sound],
        list(parts.predicted.samples),
        [asdict(item) for item in (*catalog.quarantined, *broken)],
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
