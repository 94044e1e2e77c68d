"""Speed, waiting and memory are logged beside the losses."""

from __future__ import annotations

import statistics
import time

import lightning
import pytest
import torch
from tiny_training import Line
from torch.utils.data import DataLoader, Dataset

from millsight.platform.executors.training import Training
from millsight.platform.training import Hardware, MetricLog, fit

PAUSE = 0.01


class Late(Dataset):
    """Points that take their time."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        time.sleep(PAUSE)
        return torch.ones(3), torch.ones(1)


class Slow(Line):
    """A network that takes its time over a batch."""

    def training_step(self, batch, batch_index):
        time.sleep(4 * PAUSE)
        return super().training_step(batch, batch_index)


class Batches(lightning.LightningDataModule):
    def __init__(self, data):
        super().__init__()
        self.data = data

    def train_dataloader(self):
        return DataLoader(self.data, batch_size=4)


@pytest.mark.parametrize(
    ("module", "data", "starved"),
    [(Line(), Late(), True), (Slow(), [(torch.ones(3), torch.ones(1))] * 8, False)],
)
def test_steps_say_how_fast_they_are_and_what_they_wait_for(tmp_path, module, data, starved):
    logged = []
    training = Training(
        module,
        Batches(data),
        (MetricLog(lambda values, step: logged.append(dict(values))),),
        {"max_epochs": 2},
    )
    fit(training, str(tmp_path / "checkpoint.pt"), Hardware("cpu", progress_bar=False))
    assert len(logged) == 4
    for values in logged:
        # A batch of four takes at least four pauses.
        assert 0 < values["train/pictures_per_second"] <= 1 / PAUSE
        assert 0 <= values["train/waiting"] <= 1
        assert 10 < values["train/memory_mib"] < 100_000
        assert "train/loss" in values
    # A busy machine may delay any single step.
    waiting = statistics.median(values["train/waiting"] for values in logged)
    assert (waiting > 0.5) == starved
