"""Which prediction belongs to which picture, by sample id or by file name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from millsight.evaluation.results.row import PictureResult
from millsight.platform.catalog.layouts.tree import PICTURE_SUFFIXES
from millsight.platform.errors import UserError

Rank = tuple[int, bool]
SHOWN = 3


def match(
    rows: Sequence[PictureResult],
    names: Sequence[str],
    place: Callable[[int], str],
    endings: Sequence[str] = ("",),
) -> dict[int, int]:
    """Find the name that goes with each row.

    A name is a sample id, or a path or file name with or without suffix. Where several fit, the one
    whose folders agree with the picture's over the longest way up wins, and each name goes to the
    picture it agrees with most. Files of equal bytes share a sample id and a name.

    Args:
        rows: The pictures.
        names: As some tool wrote them.
        place: Says where the name of that number stands, for messages.
        endings: What may follow the file name, as in ``_mask``.

    Returns:
        Row number to name number; rows that no name fits are left out.

    Raises:
        UserError: If two names fit a picture equally well, or a name fits different pictures.
    """
    by_stem: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(names):
        by_stem[_bare(_plain(name))].append(number)
    claims: dict[int, list[tuple[Rank, int]]] = defaultdict(list)
    for index, row in enumerate(rows):
        keys = (row.sample_id, *(_bare(_plain(row.uri)) + ending for ending in endings))
        fitting = next((by_stem[key] for key in keys if key in by_stem), [])
        if fitting:
            rank, number = _best(row, fitting, names, place)
            claims[number].append((rank, index))
    return {
        index: number
        for number, claim in claims.items()
        for index in _winners(rows, claim, place(number))
    }


def require_all(
    rows: Sequence[PictureResult], found: Mapping[int, object], source: str, way_out: str
) -> None:
    """Refuse a source that leaves pictures out.

    Raises:
        UserError: Naming some of the pictures.
    """
    missing = [row.uri for index, row in enumerate(rows) if index not in found]
    if missing:
        raise UserError(
            f"{source}: nothing for {len(missing)} of {len(rows)} pictures, such as "
            f"{_listed(missing)}. {way_out}"
        )


def _best(
    row: PictureResult, fitting: Sequence[int], names: Sequence[str], place: Callable[[int], str]
) -> tuple[Rank, int]:
    ranked = sorted(((_rank(row, names[number]), number) for number in fitting), reverse=True)
    if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
        both = " and ".join(sorted(place(number) for _, number in ranked[:2]))
        raise UserError(
            f"{both} both go with {row.uri}. Leave one out, or name pictures with their folders or "
            "by sample id."
        )
    return ranked[0]


def _winners(
    rows: Sequence[PictureResult], claim: Sequence[tuple[Rank, int]], place: str
) -> list[int]:
    """Return the rows that agree most with a name: one picture, maybe in several files."""
    top = max(rank for rank, _ in claim)
    best = [index for rank, index in claim if rank == top]
    if len({rows[index].sample_id for index in best}) > 1:
        raise UserError(
            f"{place} fits several pictures: {_listed(rows[index].uri for index in best)}. Name "
            "pictures with their folders or by sample id."
        )
    wanted = rows[best[0]].sample_id
    return [index for _, index in claim if rows[index].sample_id == wanted]


def _rank(row: PictureResult, name: str) -> Rank:
    plain, uri = _plain(name), _plain(row.uri)
    if str(plain) == row.sample_id:
        return len(uri.parts), True
    agreed = 0
    for ours, theirs in zip(uri.parent.parts[::-1], plain.parent.parts[::-1], strict=False):
        if ours != theirs:
            break
        agreed += 1
    return agreed, plain.name == uri.name


def _plain(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _bare(path: PurePosixPath) -> str:
    """Return a file's name without a picture's suffix; other dots belong to the name."""
    return path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more
