"""The service's side of a job: asks the replicas, judges what they make, notes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from millsight.generators.filters.collection import Collection
from millsight.generators.production.produce import find_materials, stage_of
from millsight.generators.production.rounds import judged
from millsight.generators.service.asked import Asked
from millsight.generators.service.calibration import Calibration
from millsight.generators.service.catalogs import RealSet
from millsight.generators.service.config import ServeGenerationConfig
from millsight.generators.service.options import MIB
from millsight.generators.service.pictures import PictureStore
from millsight.generators.service.pool import Pool
from millsight.generators.service.sets import SetStore
from millsight.generators.service.turns import Order
from millsight.generators.service.work import of_a_picture
from millsight.generators.service.workshop import build_shared
from millsight.platform.errors import UserError
from millsight.platform.services.jobs import Job
from millsight.platform.services.worker import Progress
from millsight.platform.shards import Shard, ShardStore

KIND = "generate"
logger = logging.getLogger(__name__)


class GenerateHandler:
    """Works on jobs of the kind ``generate``.

    Doing it twice is doing it once: what has landed is not made again, only judged again, and a
    picture that is noted already stays as it is.

    Args:
        config: Limits, and how shards are cut.
        catalogs: Real pictures, by name.
        sets: Where sets are kept.
        pictures: Where their pictures are noted.
        pool: Makes them.
        calibration: Judges them.
    """

    def __init__(
        self,
        config: ServeGenerationConfig,
        *,
        catalogs: Mapping[str, RealSet],
        sets: SetStore,
        pictures: PictureStore,
        pool: Pool,
        calibration: Calibration,
    ) -> None:
        self._config = config
        self._catalogs = catalogs
        self._sets = sets
        self._pictures = pictures
        self._pool = pool
        self._calibration = calibration

    def __call__(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Make a set; returns ``{"set": ID, "accepted": n, "wanted": n, "attempts": n}``."""
        self._sets.open(job)
        asked = Asked.from_dict(job.request)
        config, real = asked.config, self._catalog(asked)
        chain = self._calibration.chain(config, real.catalog, progress.report)
        collection = Collection(config.spec, chain, config.budget)
        order = Order(
            id=job.id,
            stage=stage_of(config, find_materials(config, real.catalog), build_shared),
            store=str(self._sets.folder(job.id)),
            affinity=asked.affinity,
        )
        answer = self._answers(order, collection, progress)
        store, spent = ShardStore(order.store), 0.0
        with closing(judged(collection, answer, store, self._config.shard_size)) as batches:
            for shard, batch in batches:
                for made in batch:
                    self._pictures.add(job.id, shard.id, made)
                    spent += of_a_picture(made)
                self._sets.note(job.id, collection.summary(), spent)
                self._check_quota(job)
        self._sets.sweep(self._config.keep_downloaded_days, self._config.keep_days)
        found = collection.summary()
        logger.info("set %s: %d of %d", job.id, found["accepted"], found["wanted"])
        return {"set": job.id} | {name: found[name] for name in ("accepted", "wanted", "attempts")}

    def _catalog(self, asked: Asked) -> RealSet:
        real = self._catalogs.get(asked.catalog)
        if real is None:
            raise UserError(f"The catalog {asked.catalog!r} is not registered any more.")
        if real.catalog.fingerprint != asked.fingerprint:
            raise UserError(
                f"The pictures of {asked.catalog!r} have changed since this set was asked for: "
                "what was made is kept; ask again for the rest."
            )
        return real

    def _answers(
        self, order: Order, collection: Collection, progress: Progress
    ) -> Callable[[Sequence[Shard]], Iterator[Shard]]:
        wanted = collection.spec.count

        def check(message: str) -> None:
            if message:
                progress.report(collection.accepted, wanted, message)
            progress.check()

        def answer(shards: Sequence[Shard]) -> Iterator[Shard]:
            for shard in self._pool.answer(order, shards, check):
                yield shard
                told = f"{collection.accepted} of {wanted} accepted, {collection.attempts} tried"
                progress.report(collection.accepted, wanted, told)

        return answer

    def _check_quota(self, job: Job) -> None:
        _, taken = self._sets.usage(job.owner)
        if taken > self._config.megabytes_per_token * MIB:
            raise UserError(
                f"The sets of this token take {taken / MIB:.0f} MiB of disk, more than the "
                f"{self._config.megabytes_per_token:g} allowed: what was made is kept; delete "
                "other sets and ask for the rest."
            )
