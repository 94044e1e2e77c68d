"""Few labelled pictures drawn from many: by seed, class by class, from different objects."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.sample import GOOD, Sample
from millsight.platform.errors import UserError


def draw(samples: Sequence[Sample], count: int | None, seed: int, flag: str) -> list[Sample]:
    """Draw pictures as somebody would choose them for labelling.

    Classes (the picture's label) take turns, so that a rare one is not missed, and one picture of
    each group (coil, tile, part) comes before a second of any. What is drawn for a smaller count is
    part of what is drawn for a larger one.

    Args:
        samples: What there is.
        count: How many; ``None`` keeps all.
        seed: Another seed draws others.
        flag: Which says the count.

    Returns:
        In the order drawn.

    Raises:
        UserError: If there are not so many.
    """
    if count is None:
        return list(samples)
    if count > len(samples):
        raise UserError(
            f"{flag} {count}: there are {len(samples)} labelled pictures; leave it out."
        )
    queues = [_by_group(of_class, seed) for of_class in _by_label(samples).values()]
    drawn: list[Sample] = []
    for turn in range(max(map(len, queues), default=0)):
        drawn += [queue[turn] for queue in queues if turn < len(queue)]
    return drawn[:count]


def draw_shots(
    catalog: Catalog,
    shots: int,
    seed: int,
    *,
    good: int | None = None,
    validated: int | None = None,
) -> Catalog:
    """Keep few training pictures of each class: all that somebody has to learn from.

    Within a class, one picture of each group comes before a second of any, and what is drawn for
    fewer shots is part of what is drawn for more. Pictures of unknown label are left out of
    training. Where the catalog has no ``val`` split, as many pictures of each class, good ones
    included, become one; they are drawn first, and none of their groups is learnt from, so that
    they are the same for any number of shots. Every other split stays as it is.

    Args:
        catalog: With a ``train`` split.
        shots: Training pictures of each defect class; a rarer class keeps all it has.
        seed: Another seed draws others.
        good: Good training pictures, drawn likewise; ``None`` keeps all.
        validated: Pictures of each class for a ``val`` split; ``None`` makes none.

    Raises:
        UserError: If no training picture has a defect class, or there is a ``val`` split already.
    """
    train = [sample for sample in catalog if sample.split == "train"]
    kept = {sample.uri: sample for sample in catalog if sample.split != "train"}
    if validated is not None:
        if any(sample.split == "val" for sample in catalog):
            raise UserError(f"--validated {validated}: the data has a val split; leave it out.")
        chosen = _first(train, dict.fromkeys(_by_label(train), validated), seed)
        taken = {_group(sample) for sample in chosen}
        train = [sample for sample in train if _group(sample) not in taken]
        kept |= {sample.uri: replace(sample, split="val") for sample in chosen}
    wanted = {label: good if label == GOOD else shots for label in _by_label(train)}
    if not wanted.keys() - {GOOD}:
        raise UserError(
            "--data: no training picture has a defect class; divide it with `millsight data split`."
        )
    kept |= {sample.uri: sample for sample in _first(train, wanted, seed)}
    return catalog.with_samples(kept[one.uri] for one in catalog if one.uri in kept)


def _first(samples: Sequence[Sample], wanted: Mapping[str, int | None], seed: int) -> list[Sample]:
    """Return the first pictures of each labelled class; ``None`` is all of them."""
    return [
        sample
        for label, of_class in _by_label(samples).items()
        if label
        for sample in _by_group(of_class, seed)[: wanted[label]]
    ]


def _by_label(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.label or ""].append(sample)
    return {label: found[label] for label in sorted(found)}


def _by_group(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Order by chance, every group's first picture before any group's second."""
    places: dict[str, int] = defaultdict(int)
    ordered = []
    for sample in sorted(samples, key=lambda sample: _rank(sample.id, seed)):
        group = _group(sample)
        ordered.append((places[group], _rank(group, seed), sample))
        places[group] += 1
    return [sample for _, _, sample in sorted(ordered, key=lambda entry: entry[:2])]


def _group(sample: Sample) -> str:
    return sample.group or sample.id


def _rank(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()
