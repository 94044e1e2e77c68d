"""How much of a backbone's attention lies on true defects."""

from __future__ import annotations

from torch import Tensor

from millsight.pretraining.backbone.distillation import resize_target


def defect_energy(attention: Tensor, masks: Tensor) -> Tensor:
    """Density of attention on defects over its density on the whole picture.

    Args:
        attention: ``(B, h, w)``, at least 0; see ``attention_map``.
        masks: ``(B, 1, H, W)``, 1 on defective pixels and 0 elsewhere.

    Returns:
        ``(B,)`` float32: 1 where the attention does not know the defect, 2 where a defective pixel
        gets twice the mean; NaN without a defective pixel or without attention.
    """
    share = resize_target(masks, attention.shape[-2:]).clamp(0, 1)
    density = attention.float() / attention.float().mean(dim=(1, 2), keepdim=True)
    return (density * share).sum(dim=(1, 2)) / share.sum(dim=(1, 2))
