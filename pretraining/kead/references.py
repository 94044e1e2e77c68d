"""Which pictures others are compared with, and the copies of them that join a memory bank."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.pretraining.kead.config import KeADConfig

GAINS = {"darker": 0.8, "brighter": 1.25}
QUARTER_TURNS = {"rot90": 1, "rot180": 2, "rot270": 3}


def choose_references(samples: Sequence[Sample], config: KeADConfig) -> dict[str, list[Sample]]:
    """Draw the reference pictures of every category.

    Candidates are the pictures labelled good in the training split, or wherever no split is stated.
    Pictures of different objects come first, so that four are four objects where there are as
    many. The draw depends on the seed and the category alone, not on the catalog's order, and k
    pictures are the first k of a larger draw.

    ``compat="official"`` takes all candidates: in the released code, k only switches the memory
    bank on.

    Returns:
        Category to its references; every category is there, with an empty list where k is 0.

    Raises:
        UserError: If a category has fewer than k candidates.
    """
    candidates: dict[str, list[Sample]] = {sample.category: [] for sample in samples}
    for sample in samples:
        if sample.defective is False and sample.split in {"train", None}:
            candidates[sample.category].append(sample)
    if config.k == 0:
        return {category: [] for category in candidates}
    short = {name: len(found) for name, found in candidates.items() if len(found) < config.k}
    if short:
        counts = ", ".join(f"{name} has {count}" for name, count in sorted(short.items()))
        raise UserError(
            f"--kead.k {config.k}: so many good pictures are needed per category; {counts}. "
            "Put more into the folder of --normals, or label more of the training split as good, "
            "or lower --kead.k; 0 scores by the text alone or by unlabelled pictures."
        )
    keep = None if config.compat == "official" else config.k
    return {name: _draw(found, name, config.seed)[:keep] for name, found in candidates.items()}


def order_unlabelled(samples: Sequence[Sample], config: KeADConfig) -> dict[str, list[Sample]]:
    """Shuffle every category's pictures into the order in which unlabelled ones are taken.

    Labels, masks and splits play no part. Pictures of different objects come first, equal files
    count once, and the order depends on the seed and the category alone.

    Returns:
        Category to all its pictures, of which the first ``config.unlabelled`` that decode are used.
    """
    found: dict[str, dict[str, Sample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.uri):
        found.setdefault(sample.category, {}).setdefault(sample.id, sample)
    return {name: _draw(list(ids.values()), name, config.seed) for name, ids in found.items()}


def augment(picture: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
    """Return the picture and its copies, one per name in ``KeADConfig.augment``.

    Args:
        picture: uint8 (H, W, 3).
        names: Which copies.
    """
    return [picture, *(_copy(picture, name) for name in names)]


def _copy(picture: np.ndarray, name: str) -> np.ndarray:
    if name == "hflip":
        return np.ascontiguousarray(picture[:, ::-1])
    if name == "vflip":
        return np.ascontiguousarray(picture[::-1])
    if name in QUARTER_TURNS:
        return np.ascontiguousarray(np.rot90(picture, QUARTER_TURNS[name]))
    return np.clip(picture * GAINS[name], 0, 255).astype(np.uint8)


def _draw(candidates: Sequence[Sample], category: str, seed: int) -> list[Sample]:
    ordered = sorted(candidates, key=lambda sample: (sample.id, sample.uri))
    random.Random(f"{seed} {category}").shuffle(ordered)  # noqa: S311
    turn: dict[str, int] = defaultdict(int)
    ranks = []
    for sample in ordered:
        group = sample.group or sample.id
        ranks.append(turn[group])
        turn[group] += 1
    return [ordered[i] for i in sorted(range(len(ordered)), key=lambda i: ranks[i])]
