"""The pictures of a set: what is known of each in the database, the pixels in its shards."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from millsight.generators.production.rounds import read_shard
from millsight.generators.samples import Generated, Request, Verdict
from millsight.generators.service.asked import config_of
from millsight.generators.service.sets import GeneratedSet, SetStore
from millsight.platform.services.database import Database
from millsight.platform.services.problems import ProblemError
from millsight.platform.shards import ShardStore

# From here alone, never from a request.
SHOWN = {
    "all": "1",
    "accepted": "accepted",
    "rejected": "NOT accepted",
    "undecided": "accepted AND decision IS NULL",
    "kept": "decision = 'keep'",
    "dropped": "decision = 'drop'",
    "undropped": "accepted AND decision IS NOT 'drop'",
}
SHARDS_IN_MEMORY = 16


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a set.

    Attributes:
        seq: Grows with each picture; the order of arrival.
        id: Its index and attempt.
        shard: Where its pixels lie.
        accepted: Whether the filters let it pass.
        decision: keep or drop, by hand.
        view: What is shown of it besides.
    """

    seq: int
    id: str
    shard: str
    accepted: bool
    decision: str | None
    view: dict[str, Any]


class PictureStore:
    """Pictures on disk.

    Args:
        database: With ``sets.SCHEMA``.
        sets: Where their sets lie.
    """

    def __init__(self, database: Database, sets: SetStore) -> None:
        self._database = database
        self._sets = sets

    def add(self, set_id: str, shard: str, made: Generated) -> None:
        """Note a judged picture; one that is there already stays, with what people said of it."""
        self._database.connection.execute(
            "INSERT OR IGNORE INTO pictures (set_id, id, shard, accepted, view)"
            " VALUES (?, ?, ?, ?, ?)",
            (set_id, picture_id(made.request), shard, made.accepted, json.dumps(_view(made))),
        )

    def get(self, set_id: str, picture: str) -> Picture:
        """Read a picture.

        Raises:
            ProblemError: 404 if the set has none of this id.
        """
        rows = self._database.all(
            "SELECT * FROM pictures WHERE set_id = ? AND id = ?", set_id, picture
        )
        if not rows:
            raise ProblemError(HTTPStatus.NOT_FOUND, "The set has no picture of this id.")
        return _to_picture(rows[0])

    def page(self, set_id: str, count: int, *, show: str = "all", after: int = 0) -> list[Picture]:
        """List pictures as they came; ``after`` is the ``seq`` to go on from."""
        rows = self._database.all(
            f"SELECT * FROM pictures WHERE set_id = ? AND seq > ? AND {SHOWN[show]}"  # noqa: S608
            " ORDER BY seq LIMIT ?",
            *(set_id, after, count),
        )
        return [_to_picture(row) for row in rows]

    def count(self, set_id: str, show: str) -> int:
        """Count pictures."""
        (row,) = self._database.all(
            f"SELECT count(*) FROM pictures WHERE set_id = ? AND {SHOWN[show]}",  # noqa: S608
            set_id,
        )
        return int(row[0])

    def cover(self, set_id: str, count: int) -> list[str]:
        """Return the ids of a few accepted pictures."""
        return [one.id for one in self.page(set_id, count, show="undropped")]

    def decide(self, set_id: str, pictures: Sequence[str], decision: str | None) -> int:
        """Keep, drop, or leave open; returns how many changed.

        Raises:
            ProblemError: 409 if a filter has rejected one of them, 404 if one is not there.
        """
        listed = json.dumps(list(dict.fromkeys(pictures)))
        with self._database.transaction() as connection:
            found, accepted = connection.execute(
                "SELECT count(*), coalesce(sum(accepted), 0) FROM pictures"
                " WHERE set_id = ? AND id IN (SELECT value FROM json_each(?))",
                (set_id, listed),
            ).fetchone()
            if found < len(json.loads(listed)):
                raise ProblemError(HTTPStatus.NOT_FOUND, "The set has no picture of that id.")
            if accepted < found:
                raise ProblemError(
                    HTTPStatus.CONFLICT, "What a filter has rejected is in no archive anyway."
                )
            return connection.execute(
                "UPDATE pictures SET decision = ? WHERE set_id = ? AND decision IS NOT ?"
                " AND id IN (SELECT value FROM json_each(?))",
                (decision, set_id, decision, listed),
            ).rowcount

    def pixels(self, found: GeneratedSet, picture: Picture) -> Generated:
        """Read a picture's pixels, mask and plate, with its verdicts.

        Raises:
            ProblemError: 404 if its file is gone.
        """
        folder = self._sets.folder(found.id)
        try:
            shard = _shard(folder, picture.shard, json.dumps(found.asked.settings))
        except FileNotFoundError:
            raise ProblemError(HTTPStatus.NOT_FOUND, "The picture's file is gone.") from None
        verdicts = tuple(
            Verdict(**{**told, "value": math.nan if told["value"] is None else told["value"]})
            for told in picture.view["verdicts"]
        )
        return replace(shard[picture.id], verdicts=verdicts)

    def chosen(self, found: GeneratedSet, show: str) -> Iterator[Generated]:
        """Yield the pixels of those pictures of a set, as they came."""
        after = 0
        while page := self.page(found.id, 100, show=show, after=after):
            for picture in page:
                yield self.pixels(found, picture)
            after = page[-1].seq


def picture_id(request: Request) -> str:
    """Return a picture's id within its set."""
    return f"{request.index}-{request.attempt}"


def _view(made: Generated) -> dict[str, Any]:
    height, width = made.picture.shape[:2]
    return {
        "index": made.request.index,
        "attempt": made.request.attempt,
        "seed": str(made.request.seed),
        "width": width,
        "height": height,
        "boxes": [list(box) for box in made.boxes],
        "defect_pixels": int(made.mask.sum()),
        "has_requested": made.requested is not None,
        "has_plate": made.plate is not None,
        "provenance": dict(made.provenance),
        "verdicts": [
            {**asdict(one), "value": one.value if math.isfinite(one.value) else None}
            for one in made.verdicts
        ],
    }


def _to_picture(row: sqlite3.Row) -> Picture:
    values = {name: row[name] for name in Picture.__slots__}
    return Picture(**{**values, "accepted": bool(row["accepted"]), "view": json.loads(row["view"])})


@lru_cache(maxsize=SHARDS_IN_MEMORY)
def _shard(folder: Path, shard: str, settings: str) -> dict[str, Generated]:
    """A page asks for each picture of a shard, for some of them in three ways."""
    spec = config_of(json.loads(settings)).spec
    found = read_shard(ShardStore(str(folder)), shard, spec)
    return {picture_id(one.request): one for one in found}
