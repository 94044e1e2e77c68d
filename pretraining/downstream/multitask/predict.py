"""Predictions at each picture's own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from millsight.evaluation.metrics.pixels import resize_map
from millsight.platform.catalog.sample import Sample
from millsight.pretraining.downstream.multitask.data import MaskedPictures, batches
from millsight.pretraining.downstream.multitask.model import MultitaskModel


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture.

    Attributes:
        sample: The picture.
        score: In [0, 1], how sure the network is that the sample has a defect.
        probability: float32 (H, W) in [0, 1] per pixel, at the picture's own size.
    """

    sample: Sample
    score: float
    probability: np.ndarray

    def mask(self, threshold: float) -> np.ndarray:
        """Return bool (H, W), true where the probability reaches ``threshold``."""
        mask: np.ndarray = self.probability >= threshold
        return mask


def predict(
    model: MultitaskModel, pictures: MaskedPictures, batch_size: int, device: str = "cpu"
) -> Iterator[Prediction]:
    """Yield a prediction for each picture, in order.

    Args:
        model: Put into evaluation mode and onto ``device``.
        pictures: At the network's size.
        batch_size: Pictures per forward pass.
        device: A torch device.
    """
    model.eval().to(device)
    index = 0
    for batch in batches(pictures, batch_size):
        with torch.inference_mode():
            output = model(batch.pictures.to(device))
            scores = output.scores().cpu().numpy()
            maps = output.mask_logits.sigmoid()[:, 0].cpu().numpy()
        for score, probability in zip(scores, maps, strict=True):
            height, width = (int(side) for side in pictures.sizes[index])
            full = resize_map(probability, (height, width))
            yield Prediction(pictures.samples[index], float(score), full)
            index += 1


def encode_mask(mask: np.ndarray) -> bytes:
    """Return a bool (H, W) mask as a PNG, 255 on the defect."""
    _, encoded = cv2.imencode(".png", mask.astype(np.uint8) * 255)
    return encoded.tobytes()
