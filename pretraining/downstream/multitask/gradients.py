"""What each task sends into the shared encoder, by the size of the defect.

The claim of sample-centric learning (METHODS.md section 5) is that the sample's loss reaches the
encoder where the pixels' loss of a small defect hardly does; here it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional

from millsight.platform.training import Log
from millsight.pretraining.downstream.multitask.data import MaskedPictures
from millsight.pretraining.downstream.multitask.losses import Batch, multitask_losses
from millsight.pretraining.downstream.multitask.model import MultitaskModel

# Share of the picture that is defect; a bin holds what is above its lower and up to its upper edge.
EDGES = (0.0, 0.001, 0.01, 0.1, 1.0)
BINS = ("good", "to_0.1_percent", "to_1_percent", "to_10_percent", "to_100_percent")


@dataclass(frozen=True)
class GradientNorms:
    """Gradients of one picture's losses in the encoder's parameters.

    Attributes:
        epoch: Epochs done when it was measured.
        sample_id: The picture.
        area: Share of it that is defect.
        pixel: L2 norm of the gradient of BCE + Dice.
        sample: L2 norm of the gradient of lambda * BCE_cls; 0 in mode ``pixel``.
        cosine: Between the two; below 0 they pull apart. NaN where one is zero.
    """

    epoch: int
    sample_id: str
    area: float
    pixel: float
    sample: float
    cosine: float


SCHEMA = pa.schema(
    [
        ("epoch", pa.int32()),
        ("sample_id", pa.string()),
        ("area", pa.float64()),
        ("pixel", pa.float64()),
        ("sample", pa.float64()),
        ("cosine", pa.float64()),
    ]
)


def log_nothing(values: Mapping[str, float], step: int) -> None:
    """A ``Log`` for workers elsewhere, which cannot reach the tracker."""


def area_bin(area: float) -> str:
    """Name the bin of a defect that covers ``area``, a share in [0, 1], of its picture."""
    return BINS[int(np.searchsorted(EDGES, area, side="left"))]


def choose_probe(pictures: MaskedPictures, count: int) -> MaskedPictures:
    """Take up to ``count`` pictures with known mask and label, evenly by bin, then by area."""
    usable = np.flatnonzero(pictures.mask_known & pictures.target_known)
    by_area = usable[np.argsort(pictures.areas[usable], kind="stable")]
    bins: dict[str, list[int]] = {}
    for index in by_area:
        bins.setdefault(area_bin(pictures.areas[index]), []).append(int(index))
    share = count // max(len(bins), 1)
    chosen = [index for members in bins.values() for index in _evenly(members, share)]
    return pictures.take(np.array(chosen, dtype=np.int64))


def encoder_gradients(
    model: MultitaskModel, batch: Batch, sample_weight: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the pixels' and of the sample's loss, float32 (P,) each.

    P is the number of the encoder's parameters. Nothing accumulates in ``.grad``.
    """
    losses = multitask_losses(model(batch.pictures), batch, sample_weight)
    parameters = [p for p in model.encoder.parameters() if p.requires_grad]
    pixel = torch.autograd.grad(losses["pixel"], parameters, retain_graph=True)
    if "sample" not in losses:
        return _flat(pixel), torch.zeros_like(_flat(pixel))
    return _flat(pixel), _flat(torch.autograd.grad(losses["sample"], parameters))


def measure(
    model: MultitaskModel, probe: MaskedPictures, sample_weight: float, epoch: int
) -> list[GradientNorms]:
    """Measure each picture of ``probe`` by itself.

    In evaluation mode, so that a picture's gradient does not depend on its neighbours and neither
    weights nor running statistics nor random numbers move.
    """
    was_training = model.training
    model.eval()
    rows = [_measure_one(model, probe, index, sample_weight, epoch) for index in range(len(probe))]
    model.train(was_training)
    return rows


def means_by_area(rows: Sequence[GradientNorms]) -> dict[str, float]:
    """Average per bin: ``gradient/pixel/BIN`` and ``gradient/sample/BIN``, of bins present."""
    means: dict[str, float] = {}
    for name in BINS:
        members = [row for row in rows if area_bin(row.area) == name]
        if members:
            means[f"gradient/pixel/{name}"] = float(np.mean([row.pixel for row in members]))
            means[f"gradient/sample/{name}"] = float(np.mean([row.sample for row in members]))
    return means


def to_table(rows: Sequence[GradientNorms]) -> pa.Table:
    """Return one row per picture and epoch."""
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA)


class GradientLog(Callback):
    """Measures after every epoch and keeps the rows, also through a resume.

    Args:
        probe: Pictures to measure; see ``choose_probe``.
        sample_weight: Lambda.
        log: Called with the means by area.
    """

    def __init__(self, probe: MaskedPictures, sample_weight: float, log: Log) -> None:
        self._probe, self._weight, self._log = probe, sample_weight, log
        self.rows: list[GradientNorms] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure on the first of several workers."""
        model = pl_module.model
        if not trainer.is_global_zero or not isinstance(model, MultitaskModel):
            return
        rows = measure(model, self._probe, self._weight, trainer.current_epoch + 1)
        self.rows += rows
        self._log(means_by_area(rows), trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows for the checkpoint."""
        return {"rows": [asdict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of the checkpoint."""
        self.rows = [GradientNorms(**row) for row in state_dict["rows"]]


def _measure_one(
    model: MultitaskModel, probe: MaskedPictures, index: int, weight: float, epoch: int
) -> GradientNorms:
    device = next(model.parameters()).device
    batch = Batch(*(values.to(device) for values in probe.batch([index])))
    pixel, sample = encoder_gradients(model, batch, weight)
    norms = float(pixel.norm()), float(sample.norm())
    cosine = float(functional.cosine_similarity(pixel, sample, dim=0)) if all(norms) else np.nan
    sample_id = probe.samples[index].id
    return GradientNorms(epoch, sample_id, float(probe.areas[index]), *norms, cosine)


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


def _evenly(members: Sequence[int], count: int) -> list[int]:
    if len(members) <= count:
        return list(members)
    places = np.linspace(0, len(members) - 1, count).round().astype(int)
    return [members[place] for place in places]
