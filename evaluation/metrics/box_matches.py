"""Which predicted boxes found a defect: matched once, kept as a table that merges and resamples."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from millsight.evaluation.metrics.coco_matching import FlatBoxes, match_boxes

MAX_DETECTIONS = (1, 10, 100)
ANY_SIZE = "all"
COCO_SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}

Sizes = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class PictureBoxes:
    """True and predicted boxes of one picture, in pixels, x right and y down.

    Attributes:
        truth_boxes: ``(G, 4)`` as ``(x0, y0, x1, y1)``.
        truth_labels: ``(G,)`` int, index into the class names.
        boxes: ``(D, 4)`` predicted boxes as ``(x0, y0, x1, y1)``.
        labels: ``(D,)`` int, index into the class names.
        scores: ``(D,)``, higher is surer; compared as float64.
        truth_areas: ``(G,)`` areas in square pixels by which a true box falls into a size; by
            default the box's. COCO files give the mask's.
        truth_crowd: ``(G,)`` bool, True on a region that holds many defects: what lies in it is
            neither right nor wrong. By default nowhere.
    """

    truth_boxes: NDArray[np.floating]
    truth_labels: NDArray[np.integer]
    boxes: NDArray[np.floating]
    labels: NDArray[np.integer]
    scores: NDArray[np.floating]
    truth_areas: NDArray[np.floating] | None = None
    truth_crowd: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class BoxMatches:
    """Matched boxes of N pictures for S sizes (the first is any size) and T IoU thresholds.

    A prediction is a hit, ignored (outside the size, or in a crowd), or a false alarm. Predictions
    lie in the order of the pictures and, within a picture, of class and falling score. Where scores
    of two pictures tie, the earlier picture counts first, as in COCO's own code.

    Attributes:
        classes: Class names.
        sizes: Name to smallest and largest area in square pixels, both included.
        digests: ``(N,)`` uint32, checksum of each picture's truth.
        picture: ``(D,)`` int64, row of the picture a prediction belongs to.
        label: ``(D,)`` int64.
        score: ``(D,)`` float64.
        rank: ``(D,)`` int64, place by score among the predictions of its picture and class, from 0;
            those beyond the 100th are left out.
        hit: ``(S, T, D)`` bool.
        ignored: ``(S, T, D)`` bool.
        truth_picture: ``(G,)`` int64.
        truth_label: ``(G,)`` int64.
        truth_counted: ``(S, G)`` bool, False outside the size and for crowds.
        n_dropped: Predictions left out for being beyond the 100th.
    """

    classes: tuple[str, ...]
    sizes: dict[str, tuple[float, float]]
    digests: NDArray[np.uint32]
    picture: NDArray[np.int64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    rank: NDArray[np.int64]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    truth_picture: NDArray[np.int64]
    truth_label: NDArray[np.int64]
    truth_counted: NDArray[np.bool_]
    n_dropped: int

    @property
    def n_pictures(self) -> int:
        """Number of pictures, those without any box included."""
        return self.digests.size

    @classmethod
    def of(
        cls, pictures: Sequence[PictureBoxes], classes: Sequence[str], sizes: Sizes = COCO_SIZES
    ) -> Self:
        """Match the boxes of every picture, class by class (COCO's greedy rule).

        Args:
            pictures: One entry per picture; its arrays may be empty.
            classes: Name of every class; a label is an index into it.
            sizes: Name to smallest and largest area in square pixels, both included; ``"all"`` is
                taken.

        Raises:
            ValueError: If arrays of a picture differ in length, a label is no index into
                ``classes``, or a box or score is not finite.
        """
        _check(pictures, len(classes))
        truth, every = _truth(pictures), _found(pictures)
        found, rank = _surest(every)
        ranges = {ANY_SIZE: (0.0, 1e10)} | dict(sizes)
        low, high = np.array(list(ranges.values())).T[:, :, None]
        hit, ignored = match_boxes(truth, found, len(classes), list(ranges.values()))
        return cls(
            classes=tuple(classes),
            sizes=ranges,
            digests=_digests(truth, len(pictures)),
            picture=found.picture,
            label=found.label,
            score=found.score,
            rank=rank,
            hit=hit,
            ignored=ignored,
            truth_picture=truth.picture,
            truth_label=truth.label,
            truth_counted=(low <= truth.area) & (truth.area <= high) & ~truth.crowd,
            n_dropped=every.label.size - rank.size,
        )

    @classmethod
    def merge(cls, shards: Sequence[Self]) -> Self:
        """Put the pictures of several shards together; equal to matching them all at once.

        Raises:
            ValueError: If two shards have different classes or sizes.
        """
        first = shards[0]
        if any((s.classes, s.sizes) != (first.classes, first.sizes) for s in shards):
            raise ValueError("shards with different classes or sizes cannot be merged")
        names = [name for name in cls.__slots__ if isinstance(getattr(first, name), np.ndarray)]
        joined = {name: np.concatenate([getattr(s, name) for s in shards], -1) for name in names}
        starts = np.cumsum([0] + [shard.n_pictures for shard in shards])[:-1]
        for name in ("picture", "truth_picture"):
            joined[name] += np.repeat(starts, [getattr(shard, name).size for shard in shards])
        n_dropped = sum(shard.n_dropped for shard in shards)
        return cls(classes=first.classes, sizes=first.sizes, n_dropped=n_dropped, **joined)


def _check(pictures: Sequence[PictureBoxes], n_classes: int) -> None:
    for row, p in enumerate(pictures):
        n_truth, n_found = len(p.truth_labels), len(p.labels)
        optional = [part for part in (p.truth_areas, p.truth_crowd) if part is not None]
        lengths = [len(p.truth_boxes), *map(len, optional)]
        if set(lengths) != {n_truth} or {len(p.boxes), len(p.scores)} != {n_found}:
            raise ValueError(f"picture {row}: boxes, labels and scores differ in length")
        for labels in (p.truth_labels, p.labels):
            if len(labels) and not 0 <= min(labels) <= max(labels) < n_classes:
                raise ValueError(f"picture {row}: a label is no index into {n_classes} classes")


def _truth(pictures: Sequence[PictureBoxes]) -> FlatBoxes:
    counts = [len(p.truth_labels) for p in pictures]
    boxes = _xywh([p.truth_boxes for p in pictures])
    own = boxes[:, 2] * boxes[:, 3]
    given = [
        np.full(n, np.nan) if p.truth_areas is None else p.truth_areas
        for n, p in zip(counts, pictures, strict=True)
    ]
    areas = _joined(given, np.float64)
    crowds = [
        np.zeros(n) if p.truth_crowd is None else p.truth_crowd
        for n, p in zip(counts, pictures, strict=True)
    ]
    return FlatBoxes(
        picture=np.repeat(np.arange(len(pictures)), counts),
        label=_joined([p.truth_labels for p in pictures], np.int64),
        box=boxes,
        area=np.where(np.isnan(areas), own, areas),
        score=np.zeros(own.size),
        crowd=_joined(crowds, np.bool_),
    )


def _found(pictures: Sequence[PictureBoxes]) -> FlatBoxes:
    boxes = _xywh([p.boxes for p in pictures])
    scores = _joined([p.scores for p in pictures], np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    return FlatBoxes(
        picture=np.repeat(np.arange(len(pictures)), [len(p.labels) for p in pictures]),
        label=_joined([p.labels for p in pictures], np.int64),
        box=boxes,
        area=boxes[:, 2] * boxes[:, 3],
        score=scores,
        crowd=np.zeros(scores.size, dtype=bool),
    )


def _surest(boxes: FlatBoxes) -> tuple[FlatBoxes, NDArray[np.int64]]:
    """Sort by picture, class and falling score; keep the 100 surest of each and give their rank."""
    order = np.lexsort((-boxes.score, boxes.label, boxes.picture))
    pair = np.stack([boxes.picture[order], boxes.label[order]])
    place = np.arange(order.size)
    first = np.diff(pair, axis=1, prepend=-1).any(0)
    rank = place - np.maximum.accumulate(np.where(first, place, 0))
    kept = rank < MAX_DETECTIONS[-1]
    return boxes.take(order[kept]), rank[kept]


def _xywh(boxes: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """``(B, 4)`` from corners to corner and size."""
    corners = np.concatenate([np.zeros((0, 4)), *(np.reshape(part, (-1, 4)) for part in boxes)])
    if not np.isfinite(corners).all():
        raise ValueError("a box is not finite")
    corners[:, 2:] -= corners[:, :2]
    return corners


def _joined(parts: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0), *parts]).astype(dtype)


def _digests(truth: FlatBoxes, n_pictures: int) -> NDArray[np.uint32]:
    columns = [truth.label, truth.area, truth.crowd, *truth.box.T]
    table = np.stack(columns, axis=1).astype(np.float64)
    ends = np.searchsorted(truth.picture, np.arange(n_pictures + 1))
    parts = (table[start:stop].tobytes() for start, stop in pairwise(ends))
    return np.array([zlib.crc32(part) for part in parts], dtype=np.uint32)
