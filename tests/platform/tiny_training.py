"""A network of four weights for Ray Train; its classes travel to the workers by value."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from millsight.platform.executors.training import Training


class Line(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch, batch_index):
        x, y = batch
        loss = (self.layer(x) - y).square().mean()
        self.log("train/loss", loss.detach())
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)


class Points(lightning.LightningDataModule):
    def train_dataloader(self):
        x = torch.arange(48.0).reshape(16, 3) / 48
        data = TensorDataset(x, x.sum(1, keepdim=True) + 1)
        world, rank = self.trainer.world_size, self.trainer.global_rank
        sampler = DistributedSampler(data, num_replicas=world, rank=rank, seed=5)
        return DataLoader(data, batch_size=4, sampler=sampler)


class EpochDiary(Callback):
    """Writes the epochs that begin to a file, and has its worker killed once."""

    def __init__(self, diary: Path, kill_in: int | None = None) -> None:
        self.diary, self.kill_in = str(diary), kill_in

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.is_global_zero:
            with Path(self.diary).open("a", encoding="utf-8") as file:
                file.write(f"{trainer.current_epoch} ")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        killed = Path(f"{self.diary}.killed")
        if trainer.current_epoch == self.kill_in and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def training(diary: Path, kill_in: int | None = None) -> Training:
    return Training(Line(), Points(), (EpochDiary(diary, kill_in),), {"max_epochs": 4})
