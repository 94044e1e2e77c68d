"""How fast a training is, whether it waits for its pictures, and what it holds in memory."""

from __future__ import annotations

import resource
import time
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

# `resource` counts in units of 1,024 bytes, torch in bytes.
KIB_PER_MIB = 1024
BYTES_PER_MIB = 1024**2


class Speed(Callback):
    """Logs three numbers beside every step's losses; comes first among the callbacks.

    - ``train/pictures_per_second``: of all workers, from the end of one step to that of the next.
    - ``train/waiting``: share of that time before the batch was there. Near 0, the input pipeline
      keeps up; near 1, the network is fed too slowly (``--loaders``).
    - ``train/memory_mib``: most memory so far, of the GPU or else of this process.
    """

    def __init__(self) -> None:
        self._ended = self._fetched = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; what lies between two epochs is no training."""
        self._ended = time.perf_counter()

    def on_train_batch_start(self, *_: Any) -> None:
        """The batch is there."""
        self._fetched = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the step."""
        now = time.perf_counter()
        taken, waited = now - self._ended, self._fetched - self._ended
        self._ended = now
        pictures = trainer.train_dataloader.batch_size * trainer.world_size  # type: ignore[union-attr]
        values = {
            "train/pictures_per_second": pictures / taken,
            "train/waiting": waited / taken,
            "train/memory_mib": _memory(pl_module.device),
        }
        # Lightning would look for a batch's size in the batch, which may be of any kind.
        pl_module.log_dict(values, batch_size=1)


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / BYTES_PER_MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB
