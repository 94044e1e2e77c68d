"""Group-safe splits: one physical object lies on one side."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.duplicates import exact_pairs, make_thumbnails, near_pairs
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError

NAMES = ("train", "val", "test")
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
# Stricter than the duplicate report: chains of similar pictures would join half a dataset.
CORRELATION = 0.98


@dataclass(frozen=True)
class Cluster:
    """Pictures that stay together.

    Attributes:
        key: Name that decides its place: its first group, else its first id.
        samples: Positions in the catalog.
        stratum: Category and rarest label.
    """

    key: str
    samples: tuple[int, ...]
    stratum: tuple[str, str]


def split(
    catalog: Catalog,
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    *,
    near: bool = True,
    previous: Catalog | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Catalog:
    """Give every sample a split.

    Pictures of one group, files with equal bytes and, where a picture has no group, near duplicates
    stay together. Within each category and label, these clusters are ordered by a hash of seed and
    name and cut at the cumulative shares, so that every label is divided as the shares say as far
    as its clusters allow. The order of the files does not matter, and adding pictures moves only
    clusters near the cuts; with ``previous`` none moves at all.

    Args:
        catalog: Existing splits are replaced.
        shares: Of pictures, by split; they add up to 1. By default 60 / 20 / 20.
        seed: Another seed gives another division.
        near: Whether pictures without a group are compared; costs decoding them.
        previous: Catalog whose clusters keep their split.
        progress: Called with pictures decoded and pictures in all.

    Raises:
        UserError: If the shares are not shares, or generated pictures lie among photographs.
    """
    wanted = _checked(shares or SHARES)
    _refuse_mixture(catalog.samples)
    clusters = make_clusters(catalog.samples, near=near, progress=progress)
    placed = _placed(catalog.samples, clusters, previous)
    strata: dict[tuple[str, str], list[Cluster]] = defaultdict(list)
    for cluster in clusters:
        if cluster.key not in placed:
            strata[cluster.stratum].append(cluster)
    for stratum in strata.values():
        placed |= _divide(stratum, wanted, seed)
    splits = {index: placed[cluster.key] for cluster in clusters for index in cluster.samples}
    return catalog.with_samples(
        replace(sample, split=splits[index]) for index, sample in enumerate(catalog.samples)
    )


def make_clusters(
    samples: Sequence[Sample],
    *,
    near: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Cluster]:
    """Join what must stay together; see ``split``."""
    edges = exact_pairs(samples)
    first: dict[tuple[str, str], int] = {}
    for index, sample in enumerate(samples):
        if sample.group is not None:
            edges.append((first.setdefault((sample.category, sample.group), index), index))
    if near and any(sample.group is None for sample in samples):
        edges += _near_edges(samples, progress)
    members: dict[int, list[int]] = defaultdict(list)
    for index, component in enumerate(_components(len(samples), edges)):
        members[int(component)].append(index)
    frequency = Counter(sample.label or "" for sample in samples)
    return [_cluster(samples, indices, frequency) for indices in members.values()]


def _near_edges(
    samples: Sequence[Sample], progress: Callable[[int, int], None] | None
) -> list[tuple[int, int]]:
    """Pairs of near duplicates; where both have a group, the groups know better."""
    thumbnails = make_thumbnails(samples, progress)
    pairs, _ = near_pairs(thumbnails.vectors, CORRELATION)
    return [
        (i, j)
        for i, j in thumbnails.indices[pairs].tolist()
        if samples[i].group is None or samples[j].group is None
    ]


def _components(count: int, edges: Sequence[tuple[int, int]]) -> np.ndarray:
    ends = np.array(edges, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    components: np.ndarray = connected_components(graph, directed=False)[1]
    return components


def _cluster(
    samples: Sequence[Sample], indices: Sequence[int], frequency: Mapping[str, int]
) -> Cluster:
    own = [samples[index] for index in indices]
    groups = [f"group {item.category}/{item.group}" for item in own if item.group is not None]
    rarest = min((item.label or "" for item in own), key=lambda label: (frequency[label], label))
    key = min(groups) if groups else min(f"id {item.id}" for item in own)
    return Cluster(key, tuple(indices), (min(item.category for item in own), rarest))


def _placed(
    samples: Sequence[Sample], clusters: Sequence[Cluster], previous: Catalog | None
) -> dict[str, str]:
    """Return the splits that clusters have in the earlier catalog, the most frequent one each."""
    if previous is None:
        return {}
    by_id = {item.id: item.split for item in previous.samples}
    by_group: dict[tuple[str, str | None], str | None] = {
        (item.category, item.group): item.split for item in previous.samples if item.group
    }
    placed = {}
    for cluster in clusters:
        own = [samples[index] for index in cluster.samples]
        found = [by_id.get(item.id) or by_group.get((item.category, item.group)) for item in own]
        counted = Counter(name for name in found if name is not None)
        if counted:
            placed[cluster.key] = counted.most_common(1)[0][0]
    return placed


def _divide(clusters: Sequence[Cluster], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    ordered = sorted(clusters, key=lambda cluster: _rank(cluster.key, seed))
    total = sum(len(cluster.samples) for cluster in ordered)
    cuts = np.cumsum([shares.get(name, 0.0) for name in NAMES]) * total
    placed, done = {}, 0
    for cluster in ordered:
        middle = done + len(cluster.samples) / 2
        placed[cluster.key] = NAMES[min(int(np.searchsorted(cuts, middle)), len(NAMES) - 1)]
        done += len(cluster.samples)
    return placed


def _rank(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()


def _refuse_mixture(samples: Sequence[Sample]) -> None:
    """Refuse to divide what was generated from photographs together with them: it would leak."""
    generated = [sample.uri for sample in samples if sample.synthetic is not None]
    if 0 < len(generated) < len(samples):
        raise UserError(
            f"--data: {len(generated)} of {len(samples)} pictures are no photographs, the first is "
            f"{generated[0]}. Divide the photographs first, generate from their train split only, "
            "and add what was generated to training alone."
        )


def _checked(shares: Mapping[str, float]) -> Mapping[str, float]:
    total = sum(shares.values())
    if set(shares) <= set(NAMES) and min(shares.values()) >= 0 and math.isclose(total, 1):
        return shares
    raise UserError(
        f"--train, --val, --test {dict(shares)}: give these three shares of at least 0 that add up "
        f"to 1 (these add up to {total:g})."
    )
