"""The three losses.

Shapes: B pictures, N patches, D embedding width, C teacher channels, S states (good, defect).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

REGION_TEMPERATURE = 0.07


def contrastive_loss(
    pictures_BD: Tensor, texts_BD: Tensor, scale: Tensor, classes_B: Tensor
) -> Tensor:
    """Symmetric cross-entropy of pictures against texts (CLIP, arXiv 2103.00020, section 2.3).

    Pictures of one class have interchangeable captions, so the target is uniform over the class
    instead of the diagonal (UniCL, arXiv 2204.03610, equation 3).

    Args:
        pictures_BD: L2-normalised.
        texts_BD: L2-normalised.
        scale: Inverse temperature, scalar.
        classes_B: int64 class of each pair.
    """
    logits = scale * pictures_BD @ texts_BD.T
    target = (classes_B[:, None] == classes_B[None, :]).float()
    target = target / target.sum(1, keepdim=True)
    loss: Tensor = functional.cross_entropy(logits, target) + functional.cross_entropy(
        logits.T, target
    )
    return loss / 2


class DistillationHead(nn.Module):
    """Predicts the teacher's dense features from patch tokens, one linear map per layer.

    Args:
        layers: How many layers of tokens there are.
        embed_dim: D.
        channels: C of each block of the teacher's features.
    """

    def __init__(self, layers: int, embed_dim: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        self.maps = nn.ModuleList(nn.Linear(embed_dim, sum(channels)) for _ in range(layers))

    def forward(self, tokens: Sequence[Tensor], teacher_BNC: Tensor) -> Tensor:
        """Mean of 1 - cos between prediction and teacher over layers, blocks and patches."""
        wanted = torch.split(teacher_BNC, self.channels, dim=-1)
        losses = [
            1 - functional.cosine_similarity(guess, target, dim=-1).mean()
            for layer, linear in zip(tokens, self.maps, strict=True)
            for guess, target in zip(
                torch.split(linear(layer), self.channels, dim=-1), wanted, strict=True
            )
        ]
        return torch.stack(losses).mean()


def region_loss(tokens: Sequence[Tensor], states_SD: Tensor, covered_BN: Tensor) -> Tensor:
    """Cross-entropy of KeAD's patch score (arXiv 2509.18919, equation 1) against the mask.

    Defective patches are rare, so both sides weigh the same.

    Args:
        tokens: (B, N, D) per layer, not normalised.
        states_SD: L2-normalised normal and anomaly embedding, S = 2.
        covered_BN: float in [0, 1], share of a patch's pixels that are defect.
    """
    defect = (covered_BN > 0.25).float()
    good = (covered_BN == 0).float()
    losses = []
    for layer in tokens:
        logits = functional.normalize(layer, dim=-1) @ states_SD.T / REGION_TEMPERATURE
        margin = logits[..., 1] - logits[..., 0]
        missed = (functional.softplus(-margin) * defect).sum() / defect.sum().clamp(min=1)
        alarmed = (functional.softplus(margin) * good).sum() / good.sum().clamp(min=1)
        losses.append(missed + alarmed)
    return torch.stack(losses).mean() / 2
