"""Few labelled pictures drawn from many: by seed, class by class, from different objects."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from millsight.platform.catalog.sample import Sample
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
    queues = [_by_group(of_class, seed) for of_class in _by_label(samples)]
    drawn: list[Sample] = []
    for turn in range(max(map(len, queues), default=0)):
        drawn += [queue[turn] for queue in queues if turn < len(queue)]
    return drawn[:count]


def _by_label(samples: Sequence[Sample]) -> list[list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.label or ""].append(sample)
    return [found[label] for label in sorted(found)]


def _by_group(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Order by chance, every group's first picture before any group's second."""
    places: dict[str, int] = defaultdict(int)
    ordered = []
    for sample in sorted(samples, key=lambda sample: _rank(sample.id, seed)):
        group = sample.group or sample.id
        ordered.append((places[group], _rank(group, seed), sample))
        places[group] += 1
    return [sample for _, _, sample in sorted(ordered, key=lambda entry: entry[:2])]


def _rank(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()
