"""What runs inside one Ray actor."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from millsight.platform.executors.attempts import Outcome, attempt
from millsight.platform.shards import Shard, ShardStore
from millsight.platform.stages import Stage


class ShardWorker:
    """Computes shards one at a time and lands them itself: rows never pass through Ray."""

    def __init__(self) -> None:
        self._ready = self._broken = False

    def ping(self) -> bool:
        """Answer, as only a living worker does, whether it is set up."""
        return self._ready

    def setup(
        self,
        stage: Stage,
        weights: Mapping[str, np.ndarray],
        store: ShardStore,
        device: str,
    ) -> Outcome:
        """Make ready for shards; again after every restart of the process.

        Args:
            stage: Not set up yet.
            weights: Read-only arrays in the memory that all workers of this node share.
            store: Where shards land.
            device: Torch device.
        """
        self._stage, self._store = stage, store
        try:
            stage.setup(device, weights)
        except Exception as error:
            return Outcome.of(error)
        self._ready = True
        return Outcome()

    def run(self, shard: Shard) -> Outcome:
        """Make one attempt at a shard."""
        if self._broken:
            # The driver has been told, and puts the shards that waited here back.
            os._exit(1)
        outcome = attempt(self._stage, shard, self._store)
        self._broken = outcome.worker_broken
        return outcome
