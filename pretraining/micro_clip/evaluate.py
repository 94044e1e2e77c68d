"""What a trained micro CLIP can do on pictures that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from millsight.evaluation.metrics import BootstrapConfig, evaluate_maps
from millsight.pretraining.kead.vv_attention import VVVisionTransformer
from millsight.pretraining.micro_clip.config import MicroClipConfig
from millsight.pretraining.micro_clip.dataset import CaptionedPictures
from millsight.pretraining.micro_clip.train import to_pixels, tokenize

TEMPERATURE = 0.07
BATCH = 64


@torch.inference_mode()
def evaluate(model: Any, config: MicroClipConfig, data: CaptionedPictures) -> dict[str, float]:
    """Zero-shot recognition and zero-shot anomaly maps on held-out pictures.

    Args:
        model: The open_clip model.
        config: What it was trained with.
        data: N pictures, not used in training.

    Returns:
        ``accuracy``: share of pictures whose class (surface and defect) is the nearest of all
        classes' plainest sentences; ``chance`` is one over their number. ``defect_accuracy``: the
        same over defects alone, the surface given. ``image_auroc`` and ``pixel_auroc`` of the
        zero-shot scores (KeAD eq. 2 and 3), pixels taken on the patch grid.
    """
    model.eval()
    classes, targets = _classes(data)
    texts = _embed(model, config, [sentence for _, sentence in classes])
    states = torch.stack([_mean(texts, classes, good=True), _mean(texts, classes, good=False)])
    pictures, maps = _encode(model, data, states)
    guesses = (pictures @ texts.T).argmax(1).numpy()
    scores = _anomaly(pictures, states)
    judged = evaluate_maps(
        [float(score) for score in scores],
        [label != "good" for _, label in data.classes],
        list(maps.numpy()),
        list(data.masks > 0),
        categories=["held-out"] * len(data),
        bootstrap=BootstrapConfig(n_resamples=0),
    ).mean
    return {
        "pictures": len(data),
        "accuracy": float((guesses == targets).mean()),
        "chance": 1 / len(classes),
        "defect_accuracy": _within_surface(pictures @ texts.T, classes, targets),
        "image_auroc": judged.image_auroc.value,
        "pixel_auroc": judged.pixel_auroc.value,
    }


def _classes(data: CaptionedPictures) -> tuple[list[tuple[tuple[str, str], str]], np.ndarray]:
    """Return each class with its plainest sentence, and every picture's class number."""
    sentences = dict(zip(data.classes, (c[0] for c in data.captions), strict=True))
    classes = sorted(sentences.items())
    numbers = {name: number for number, (name, _) in enumerate(classes)}
    return classes, np.array([numbers[name] for name in data.classes])


def _embed(model: Any, config: MicroClipConfig, texts: list[str]) -> Tensor:
    embedded: Tensor = model.encode_text(tokenize(config, texts), normalize=True)
    return embedded


def _mean(texts: Tensor, classes: list[tuple[tuple[str, str], str]], *, good: bool) -> Tensor:
    rows = [number for number, ((_, label), _) in enumerate(classes) if (label == "good") == good]
    return functional.normalize(texts[rows].mean(0), dim=0)


def _encode(model: Any, data: CaptionedPictures, states: Tensor) -> tuple[Tensor, Tensor]:
    """Return class embeddings (N, D), L2-normalised, and zero-shot maps (N, G, G)."""
    dense = VVVisionTransformer(model.visual)
    pictures, maps = [], []
    for start in range(0, len(data), BATCH):
        features = dense(to_pixels(data.pictures[start : start + BATCH]))
        layers = [_anomaly(functional.normalize(item, dim=-1), states) for item in features.layers]
        maps.append(torch.stack(layers).mean(0).reshape(-1, *dense.grid))
        pictures.append(model.encode_image(to_pixels(data.pictures[start : start + BATCH])))
    return functional.normalize(torch.cat(pictures), dim=-1), torch.cat(maps)


def _anomaly(embeddings: Tensor, states: Tensor) -> Tensor:
    return (embeddings @ states.T / TEMPERATURE).softmax(-1)[..., 1]


def _within_surface(
    similarity: Tensor, classes: list[tuple[tuple[str, str], str]], targets: np.ndarray
) -> float:
    surfaces = np.array([surface for (surface, _), _ in classes])
    allowed = torch.from_numpy(surfaces[targets][:, None] == surfaces[None, :])
    guesses = similarity.masked_fill(~allowed, -torch.inf).argmax(1).numpy()
    return float((guesses == targets).mean())
