"""The text side of KeAD: what normal and damaged look like, in words (section 4.1.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from millsight.pretraining.kead.config import TEMPERATURE

TEMPLATES = (
    "a cropped photo of the {}.",
    *(
        f"a {look} photo of {article} {{}}."
        for look in ("close-up", "bright", "dark", "blurry")
        for article in ("a", "the")
    ),
    # Twice, as released: the ensemble is a mean, so this template weighs double.
    "a jpeg corrupted photo of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of a small {}.",
    "a photo of the small {}.",
    "a photo of a large {}.",
    "a photo of the large {}.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for visual inspection.",
    "a photo of a {} for anomaly detection.",
    "a photo of the {} for anomaly detection.",
)

EncodeTexts = Callable[[Sequence[str]], Tensor]


def embed_prompts(
    normal: Sequence[str],
    anomalous: Sequence[str],
    encode_texts: EncodeTexts,
    *,
    templates: Sequence[str] = TEMPLATES,
    center: bool = True,
) -> Tensor:
    """Embed the two prompt sets: t_n and t_a.

    Args:
        normal: Phrases for a flawless object, such as ``"flawless steel pipe"``.
        anomalous: Phrases for a damaged one.
        encode_texts: Maps T sentences to their (T, D) embeddings.
        templates: Photo templates with one ``{}`` each.
        center: Subtract r, the mean embedding of the templates around an empty string, which the
            two sets have in common: t' = norm(t - r). As in the released code.

    Returns:
        float32 (2, D), unit rows: t_n, then t_a.
    """
    ensemble = [
        _mean_embedding(phrases, encode_texts, templates) for phrases in (normal, anomalous)
    ]
    embeddings = torch.stack(ensemble)
    if center:
        embeddings = embeddings - _mean_embedding([""], encode_texts, templates)
    return functional.normalize(embeddings, dim=-1)


def anomaly_probability(tokens: Tensor, text: Tensor) -> Tensor:
    """Score tokens against the two text embeddings.

    s(v) = softmax([cos(v, t_n), cos(v, t_a)] / 0.07), its anomaly entry (eq. 1); a softmax over
    two is the logistic function of their difference.

    Args:
        tokens: (..., D), of any length but zero.
        text: (2, D) unit rows t_n, t_a.

    Returns:
        (...) in [0, 1].
    """
    difference = (text[1] - text[0]) / TEMPERATURE
    return torch.sigmoid(tokens @ difference / torch.linalg.vector_norm(tokens, dim=-1))


def _mean_embedding(
    phrases: Sequence[str], encode_texts: EncodeTexts, templates: Sequence[str]
) -> Tensor:
    sentences = [template.format(phrase) for phrase in phrases for template in templates]
    embeddings = functional.normalize(encode_texts(sentences).float(), dim=-1)
    return functional.normalize(embeddings.mean(dim=0), dim=-1)
