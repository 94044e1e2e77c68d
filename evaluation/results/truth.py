"""Rows of the result table with their truth, before anything was predicted."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.masks import defect_shape
from millsight.evaluation.results.row import PictureResult, ResultBox
from millsight.platform.catalog.pictures import PictureError, open_mask
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

LEARNED_FROM = ("train", "val")


def from_samples(samples: Iterable[Sample]) -> list[PictureResult]:
    """Start a result table from a catalog's samples: truth filled in, predictions empty.

    Boxes say where defects are and never that there are none: a picture without boxes has none to
    find only where it is labelled good, else its true boxes are unknown.

    Pictures made out of real ones cannot be judged on, outside train and val: what they were made
    of was trained on. Rendered ones are a world of their own, and the report says that they are.

    Args:
        samples: The pictures to judge, such as ``catalog.where(split="test")``.

    Raises:
        UserError: If a true mask does not decode or has another size than its picture, or a
            picture outside train and val was made out of real ones.
    """
    return [_from_sample(sample) for sample in samples]


def true_mask(row: PictureResult) -> NDArray[np.bool_] | None:
    """Return ``(H, W)`` bool, True on the defect; ``None`` where the true pixels are unknown.

    Raises:
        UserError: If the mask does not decode or has another size than its picture.
    """
    if row.true_mask_uri is not None:
        return _open(row.true_mask_uri, row.width, row.height)
    return np.zeros((row.height, row.width), dtype=bool) if row.defective is False else None


def _open(uri: str, width: int, height: int) -> NDArray[np.bool_]:
    try:
        return open_mask(uri, (width, height))
    except PictureError as error:
        raise UserError(f"true mask {uri}: {error}. Mend it or take it out of --data.") from None


def _from_sample(sample: Sample) -> PictureResult:
    _refuse_generated(sample)
    if sample.width is None or sample.height is None:
        raise UserError(f"{sample.uri}: its catalog does not say its size; make the catalog again.")
    area, elongation = _shape(sample, sample.width, sample.height)
    return PictureResult(
        sample_id=sample.id,
        uri=sample.uri,
        category=sample.category,
        width=sample.width,
        height=sample.height,
        split=sample.split,
        synthetic=sample.synthetic is not None,
        defective=sample.defective,
        label=sample.label,
        defect_area=area,
        defect_elongation=elongation,
        true_mask_uri=sample.mask_uri,
        true_boxes=_boxes(sample),
    )


def _refuse_generated(sample: Sample) -> None:
    if not sample.derived or sample.split in LEARNED_FROM:
        return
    place = "in no split" if sample.split is None else f"in the split {sample.split}"
    raise UserError(
        f"{sample.uri} is {place}, and no photograph ({sample.synthetic}): what a model does on "
        "pictures made out of real ones says nothing about real parts. Judge on real ones only, "
        "and leave generated ones in train."
    )


def _shape(sample: Sample, width: int, height: int) -> tuple[int | None, float | None]:
    if sample.mask_uri is None:
        return (0 if sample.defective is False else None), None
    shape = defect_shape(_open(sample.mask_uri, width, height))
    return shape.area, None if math.isnan(shape.elongation) else shape.elongation


def _boxes(sample: Sample) -> tuple[ResultBox, ...] | None:
    if not sample.boxes:
        return () if sample.defective is False else None
    pairs = zip(sample.boxes, sample.box_labels, strict=True)
    return tuple(ResultBox(*box, label=label) for box, label in pairs)
