"""Exact and near duplicates: the same bytes, or nearly the same look.

Two pictures are near duplicates where their thumbnails correlate. Perceptual hashes were measured
first and lost: on gc10 a 64-bit pHash at a distance of up to 8 finds no pair from one coil, and
dHash at distance 0 gives 26,792 pairs from different coils beside 10,367 from one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.catalog.sample import Quarantined, Sample

SIDE = 16
NOISE = 1.0
CORRELATION = 0.96
BLOCK = 2048
MAX_PAIRS = 1_000_000
THREADS = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures that show the same.

    Attributes:
        first: The one that comes first in the catalog.
        second: The other.
        correlation: Of the thumbnails, 1 for equal bytes.
        exact: Whether the files' bytes are equal.
    """

    first: Sample
    second: Sample
    correlation: float
    exact: bool

    @property
    def across_splits(self) -> bool:
        """Whether they lie in two different splits, so that a test would leak."""
        splits = {self.first.split, self.second.split}
        return None not in splits and len(splits) == 2

    @property
    def same_group(self) -> bool:
        """Whether they show one physical object, by the catalog's groups."""
        first, second = self.first, self.second
        own = (first.category, first.group)
        return first.group is not None and own == (second.category, second.group)


@dataclass(frozen=True)
class DuplicateReport:
    """All pairs of a catalog.

    Attributes:
        pairs: Exact ones first, then by falling correlation.
        quarantined: Pictures that did not decode and were not compared.
        complete: False where the search stopped at ``MAX_PAIRS``.
    """

    pairs: tuple[Pair, ...]
    quarantined: tuple[Quarantined, ...] = ()
    complete: bool = True

    def across_splits(self) -> tuple[Pair, ...]:
        """Return the pairs that make a test leak."""
        return tuple(pair for pair in self.pairs if pair.across_splits)

    def share_of_pictures(self, catalog: Catalog) -> float:
        """Return the share of a catalog's pictures that have a duplicate, 0 to 1."""
        found = {sample.uri for pair in self.pairs for sample in (pair.first, pair.second)}
        return len(found) / max(len(catalog), 1)


@dataclass(frozen=True)
class Thumbnails:
    """Normalised thumbnails of the pictures that decode.

    Attributes:
        indices: Positions in the catalog, shape (N,), int64.
        vectors: Shape (N, SIDE * SIDE), float32; the product of two is their correlation.
        quarantined: Pictures that do not decode.
    """

    indices: np.ndarray
    vectors: np.ndarray
    quarantined: tuple[Quarantined, ...]


def find_duplicates(
    catalog: Catalog,
    *,
    near: bool = True,
    correlation: float = CORRELATION,
    progress: Callable[[int, int], None] | None = None,
) -> DuplicateReport:
    """Find all pairs of equal or nearly equal pictures.

    Near duplicates cost decoding every picture once and one matrix product over all pairs.

    Args:
        catalog: Any.
        near: Whether to look for near duplicates, or for equal bytes only.
        correlation: From which thumbnail correlation on pictures count as near duplicates.
        progress: Called with pictures decoded and pictures in all.
    """
    samples = catalog.samples
    exact = exact_pairs(samples)
    if not near:
        return DuplicateReport(tuple(_pair(samples, i, j, 1.0) for i, j in exact))
    thumbnails = make_thumbnails(samples, progress)
    rows, values = near_pairs(thumbnails.vectors, correlation)
    known = set(exact)
    found = zip(thumbnails.indices[rows].tolist(), values.tolist(), strict=True)
    close = [(i, j, value) for (i, j), value in found if (i, j) not in known]
    close.sort(key=lambda item: (-item[2], item[0], item[1]))
    pairs = [_pair(samples, i, j, 1.0) for i, j in exact]
    pairs += [_pair(samples, i, j, value) for i, j, value in close]
    return DuplicateReport(tuple(pairs), thumbnails.quarantined, len(rows) < MAX_PAIRS)


def exact_pairs(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Return the positions of all pairs of files with equal bytes."""
    by_id: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        by_id[sample.id].append(index)
    return [pair for indices in by_id.values() for pair in combinations(indices, 2)]


def make_thumbnails(
    samples: Sequence[Sample], progress: Callable[[int, int], None] | None = None
) -> Thumbnails:
    """Decode pictures into thumbnails, in ``THREADS`` threads."""
    indices: list[int] = []
    vectors: list[np.ndarray] = []
    quarantined: list[Quarantined] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for index, result in enumerate(pool.map(_thumbnail, samples)):
            if isinstance(result, Quarantined):
                quarantined.append(result)
            else:
                indices.append(index)
                vectors.append(result)
            if progress is not None:
                progress(index + 1, len(samples))
    stacked = np.stack(vectors) if vectors else np.empty((0, SIDE * SIDE), np.float32)
    return Thumbnails(np.array(indices, np.int64), stacked, tuple(quarantined))


def near_pairs(vectors: np.ndarray, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Search all pairs block by block; exact, no pair is missed below ``MAX_PAIRS``.

    Args:
        vectors: Shape (N, D), float32, of ``make_thumbnails``.
        correlation: Threshold.

    Returns:
        Pairs ``(i, j)`` with i < j, shape (P, 2), int64, and their correlations, shape (P,).
    """
    pairs, values, count = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)], 0
    for start, other, products in _blocks(vectors):
        rows, columns = np.nonzero(products >= correlation)
        kept = rows + start < columns + other
        pairs.append(np.stack([rows[kept] + start, columns[kept] + other], axis=1))
        values.append(products[rows[kept], columns[kept]])
        count += int(kept.sum())
        if count >= MAX_PAIRS:
            break
    return np.concatenate(pairs)[:MAX_PAIRS], np.concatenate(values)[:MAX_PAIRS]


def _blocks(vectors: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    for start in range(0, len(vectors), BLOCK):
        for other in range(start, len(vectors), BLOCK):
            products = vectors[start : start + BLOCK] @ vectors[other : other + BLOCK].T
            yield start, other, products


def _thumbnail(sample: Sample) -> np.ndarray | Quarantined:
    try:
        picture = open_picture(sample.uri)
    except PictureError as error:
        return Quarantined(sample.uri, str(error), sample.id)
    small = Image.fromarray(picture).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(small, np.float32).ravel()
    values = values - values.mean()
    # The noise term keeps flat pictures, which are all alike, from counting as duplicates.
    normalised: np.ndarray = values / np.sqrt((values**2).sum() + NOISE**2 * SIDE**2)
    return normalised


def _pair(samples: Sequence[Sample], i: int, j: int, correlation: float) -> Pair:
    first, second = samples[i], samples[j]
    return Pair(first, second, correlation, first.id == second.id)
