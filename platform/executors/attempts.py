"""One attempt at one shard, the same in this process and in an actor on another node."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import NoReturn

from millsight.platform.errors import UserError, is_disk_full
from millsight.platform.shards import Shard, ShardStore, run_shard
from millsight.platform.stages import Stage


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; small enough to travel, since the rows went into the store.

    Attributes:
        quarantined: Pictures of the shard that were set aside.
        error: Traceback, or ``None`` if the shard landed.
        user_error: Message of a ``UserError``: another attempt would not mend it.
        disk_full: The rows could not be written for want of room.
        worker_broken: The process can compute nothing more, as after a fault on a GPU.
    """

    quarantined: int = 0
    error: str | None = None
    user_error: str | None = None
    disk_full: bool = False
    worker_broken: bool = False

    @classmethod
    def of(cls, error: Exception) -> Outcome:
        """Describe an error in words that any process can unpickle."""
        text = "".join(traceback.format_exception(error))
        if isinstance(error, UserError):
            return cls(error=text, user_error=str(error))
        broken = type(error).__name__ == "AcceleratorError"
        return cls(error=text, disk_full=is_disk_full(error), worker_broken=broken)

    def raise_error(self) -> NoReturn:
        """Raise again, in the driver, what was caught in a worker.

        Raises:
            UserError: If it was one.
            RuntimeError: With the worker's traceback as its text, otherwise.
        """
        if self.user_error is not None:
            raise UserError(self.user_error)
        raise RuntimeError(self.error)


def attempt(stage: Stage, shard: Shard, store: ShardStore) -> Outcome:
    """Compute ``shard`` on a stage that is set up, and land it."""
    try:
        output = run_shard(stage, shard)
        store.land(shard.id, output)
    except Exception as error:
        return Outcome.of(error)
    return Outcome(quarantined=len(output.quarantined))
