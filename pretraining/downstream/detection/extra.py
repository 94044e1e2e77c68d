"""Synthetic pictures to learn beside the labelled ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.pretraining.detector.exact_boxes import sample_boxes
from millsight.pretraining.detector.pictures import BoxedPicture


def open_extra(sets: Sequence[str]) -> list[Catalog]:
    """Open sets of synthetic pictures.

    Raises:
        UserError: If one cannot be read, or has a photograph: that would be one more labelled
            picture, which nobody counted.
    """
    found = [load_data(path) for path in sets]
    for path, catalog in zip(sets, found, strict=True):
        real = next((sample for sample in catalog if sample.synthetic is None), None)
        if real is not None:
            raise UserError(
                f"--extra {path}: {real.uri} is not marked as synthetic; photographs belong into "
                "--data, where they are counted and divided."
            )
    return found


def read_extra(catalogs: Sequence[Catalog], classes: Sequence[str]) -> list[BoxedPicture]:
    """Return the pictures with their boxes, or those of their masks.

    Args:
        catalogs: Of ``open_extra``.
        classes: Names of the labelled pictures' classes; a label is an index into them.

    Raises:
        UserError: If a picture shows another class, or a mask cannot be read.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    return [_boxed(sample, numbers) for catalog in catalogs for sample in catalog]


def _boxed(sample: Sample, numbers: dict[str, int]) -> BoxedPicture:
    boxes = sample_boxes(sample)
    names = sample.box_labels or (str(sample.label),) * len(boxes)
    unknown = [name for name in names if name not in numbers]
    if unknown:
        raise UserError(
            f"--extra: {sample.uri} shows {unknown[0]!r}; the labelled pictures have "
            f"{', '.join(numbers)}."
        )
    labels = np.array([numbers[name] for name in names], np.int64)
    return BoxedPicture(sample.uri, boxes, labels, sample.id)
