"""Attention distillation: a backbone learns to look where the anomaly maps are high."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Form = Literal["cosine", "l2"]
SMALLEST = 1e-12


def attention_map(feature: Tensor) -> Tensor:
    """Where a feature map is strong: the sum over channels of its squares (eq. 6).

    Args:
        feature: ``(B, C, h, w)``.

    Returns:
        ``(B, h, w)`` float32, not normalised.
    """
    return feature.float().square().sum(dim=1)


def resize_target(anomaly_map: Tensor, size: Sequence[int]) -> Tensor:
    """Resize stored anomaly maps to the grid of a stage.

    Every stage's target is resized from the map itself, so that no stage's depends on another's.

    Args:
        anomaly_map: ``(B, 1, H, W)`` float.
        size: ``(h, w)`` of the stage.

    Returns:
        ``(B, h, w)`` float32, bilinear; smoothed first where the map is the finer one.
    """
    shape = list(size)
    return F.interpolate(anomaly_map.float(), shape, mode="bilinear", antialias=True)[:, 0]


def map_distance(attention: Tensor, target: Tensor, form: Form) -> Tensor:
    """Distance of attention and target, each L2-normalised over space (eq. 7).

    Args:
        attention: ``(B, h, w)``.
        target: ``(B, h, w)``.
        form: ``cosine``, 1 - cos, for all families but one; ``l2``, the norm of the difference, for
            ViTs taught by a ViT. Its square would be twice the cosine form, so it is not squared.

    Returns:
        Scalar: mean over the B pictures.
    """
    ours, theirs = (_normalise(item) for item in (attention, target))
    if form == "cosine":
        return (1 - (ours * theirs).sum(dim=1)).mean()
    return _norm(ours - theirs).mean()


def distillation_loss(
    features: Sequence[Tensor], anomaly_map: Tensor, form: Form, *, chained: bool = False
) -> Tensor:
    """Sum the distances of several stages' attention to the same anomaly maps (eq. 7).

    Args:
        features: ``(B, C, h, w)`` of each distilled stage, the shallowest first.
        anomaly_map: ``(B, 1, H, W)``, under the same crop and flip as the pictures.
        form: See ``map_distance``.
        chained: The released code's quirk: each stage's target is resized from the target of the
            stage before it instead of from the map.

    Returns:
        Scalar.
    """
    total, source = anomaly_map.new_zeros((), dtype=torch.float32), anomaly_map
    for feature in features:
        target = resize_target(source, feature.shape[-2:])
        total = total + map_distance(attention_map(feature), target, form)
        if chained:
            source = target[:, None]
    return total


def balance(task_loss: Tensor, distillation: Tensor) -> Tensor:
    """Return lambda, which makes both losses equal at the first iteration (eq. 8).

    Args:
        task_loss: Scalar.
        distillation: Scalar, of the same batch.

    Returns:
        Scalar without gradient.

    Raises:
        ValueError: If either is not finite, or there is nothing to distil.
    """
    ratio = task_loss.detach().float() / distillation.detach().float()
    if not torch.isfinite(ratio):
        raise ValueError(
            f"lambda cannot be set from a task loss of {task_loss.item():.3g} and a distillation "
            f"loss of {distillation.item():.3g}"
        )
    return ratio


def _normalise(maps: Tensor) -> Tensor:
    return F.normalize(maps.float().flatten(1), dim=1, eps=SMALLEST)


def _norm(vectors: Tensor) -> Tensor:
    # The root's slope at 0, where attention and target agree, is infinite.
    return (vectors.square().sum(dim=1) + SMALLEST).sqrt()
