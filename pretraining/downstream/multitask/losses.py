"""L = (BCE + Dice) + lambda * BCE_cls (METHODS.md section 5), over what is known.

Shapes: B pictures, H x W the input.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from millsight.pretraining.downstream.multitask.model import MultitaskOutput

SMOOTH = 1.0


class Batch(NamedTuple):
    """B pictures and what is known about them; the unknown has no part in any loss.

    Attributes:
        pictures: float32 (B, 3, H, W), RGB in [0, 1].
        masks: float32 (B, 1, H, W) in [0, 1], the share of each pixel that is defect.
        mask_known: float32 (B,), 1 where ``masks`` is the truth, else 0.
        targets: float32 (B,), 1 for a defective sample.
        target_known: float32 (B,), 1 where ``targets`` is the truth, else 0.
    """

    pictures: Tensor
    masks: Tensor
    mask_known: Tensor
    targets: Tensor
    target_known: Tensor


def mask_bce(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the pixels of the pictures whose mask is known.

    Args:
        logits: float32 (B, 1, H, W).
        masks: float32 (B, 1, H, W) in [0, 1].
        known: float32 (B,), 0 or 1.

    Returns:
        Scalar; 0 where no mask is known.
    """
    pixels = functional.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    return _mean_known(pixels.mean(dim=(1, 2, 3)), known)


def mask_dice(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Dice loss ``1 - (2 |P G| + 1) / (|P| + |G| + 1)``, pooled over the batch.

    Pooled, because by itself a picture without defect gives Dice no overlap to ask for. Arguments
    as for ``mask_bce``.

    Returns:
        Scalar in [0, 1); 0 where no mask is known.
    """
    weights = known[:, None, None, None]
    predicted, true = logits.sigmoid() * weights, masks * weights
    overlap = 2 * (predicted * true).sum() + SMOOTH
    return 1 - overlap / (predicted.sum() + true.sum() + SMOOTH)


def sample_bce(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of float32 (B,) logits, mean over the samples whose label is known."""
    samples = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return _mean_known(samples, known)


def multitask_losses(
    output: MultitaskOutput, batch: Batch, sample_weight: float
) -> dict[str, Tensor]:
    """Return ``pixel`` (BCE + Dice), ``sample`` (weighted by lambda), and ``loss``, their sum.

    ``bce`` and ``dice`` are given beside them; ``sample`` is absent in mode ``pixel``.
    """
    bce = mask_bce(output.mask_logits, batch.masks, batch.mask_known)
    dice = mask_dice(output.mask_logits, batch.masks, batch.mask_known)
    losses = {"bce": bce, "dice": dice, "pixel": bce + dice}
    if output.sample_logits is None:
        return losses | {"loss": losses["pixel"]}
    sample = sample_weight * sample_bce(output.sample_logits, batch.targets, batch.target_known)
    return losses | {"sample": sample, "loss": losses["pixel"] + sample}


def _mean_known(values: Tensor, known: Tensor) -> Tensor:
    return (values * known).sum() / known.sum().clamp(min=1)
