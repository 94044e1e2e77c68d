"""Pictures as feature vectors of a stated network, and how near they lie to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights, build_model

# What lies between two layers should fit into a CPU's cache; larger ones are slower there.
BATCH = 8


class FeatureNet:
    """The pooled last features of a timm network, before its classes.

    Args:
        loaded: Weights of a timm network.
        device: Where it runs.

    Raises:
        UserError: If the weights are another library's, or do not fit.
    """

    def __init__(self, loaded: LoadedWeights, device: str = "cpu") -> None:
        if loaded.library != "timm":
            raise UserError(
                f"features {loaded.source}: name a timm network, such as "
                "embedded:efficientnet-lite0 or timm:resnet50."
            )
        self._loaded, self._device = loaded, device
        network: Any = build_model(loaded)
        # On a CPU, much faster than channels before pixels.
        self._network = network.to(device, memory_format=torch.channels_last)

    @property
    def key(self) -> tuple[str, str]:
        """Two networks with equal keys give equal features for equal pictures."""
        return self._loaded.fingerprint, self._device

    def describe(self) -> dict[str, str]:
        """Return, JSON-like, which weights give the features."""
        return {"source": self._loaded.source, "sha256": self._loaded.sha256}

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return ``(N, D)`` float32 features of ``(H, W, 3)`` uint8 RGB pictures, N at least 1.

        Pictures are scaled to the size that the network was trained at, whatever their shape.
        """
        found = [
            self._features(pictures[start : start + BATCH])
            for start in range(0, len(pictures), BATCH)
        ]
        return np.concatenate(found)

    def _features(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(np.stack([self._prepare(picture) for picture in pictures]))
        network = self._network
        maps = network.forward_features(pixels.to(self._device).permute(0, 3, 1, 2))
        pooled: torch.Tensor = network.forward_head(maps, pre_logits=True)
        return pooled.float().cpu().numpy()

    def _prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = self._loaded.image_size
        shrinks = picture.shape[0] > height and picture.shape[1] > width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        scaled = cv2.resize(picture, (width, height), interpolation=how).astype(np.float32) / 255
        normal = (scaled - self._loaded.mean) / np.asarray(self._loaded.std)
        return np.asarray(normal, np.float32)


def cosine_distances(
    queries: NDArray[np.float32], references: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return ``(N, M)`` cosine distances, 0 to 2; a vector of zeros is at 1 from everything.

    Args:
        queries: ``(N, D)`` features.
        references: ``(M, D)`` features.
    """
    own, others = (_unit(features) for features in (queries, references))
    distances: NDArray[np.float32] = np.clip(1 - own @ others.T, 0, 2)
    return distances


def nearest_distances(
    queries: NDArray[np.float32], references: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return ``(N,)`` cosine distances, 0 to 2, of each query to its nearest reference.

    Args:
        queries: ``(N, D)`` features.
        references: ``(M, D)`` features, M at least 1.
    """
    nearest: NDArray[np.float32] = cosine_distances(queries, references).min(axis=1)
    return nearest


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit: NDArray[np.float32] = features / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
