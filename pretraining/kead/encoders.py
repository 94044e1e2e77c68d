"""One interface for encoders of patches, with text (open_clip) or without (timm)."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from millsight.platform.weights import LoadedWeights
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.features import PatchFeatures
from millsight.pretraining.kead.preparation import Preparation

AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class EncoderSpec:
    """How to build an encoder around its tensors: small, and travels by pickle.

    Attributes:
        weights: Library, architecture and preprocessing; its ``state_dict`` is empty.
        settings: Choice of layers, attention, picture size, precision and compatibility.
    """

    weights: LoadedWeights
    settings: KeADConfig

    @property
    def preparation(self) -> Preparation:
        """How pictures are prepared for it."""
        settings = self.settings
        keep_aspect = settings.resize == "aspect"
        own = self.weights.resize_size if keep_aspect else self.weights.image_size
        side = settings.image_size
        return Preparation(
            size=own if side is None else (side, side),
            keep_aspect=keep_aspect,
            flatten_light=settings.light == "flattened",
            antialias=settings.compat != "official",
            mean=self.weights.mean,
            std=self.weights.std,
        )


class Encoder(ABC):
    """From pictures to patch features.

    Args:
        spec: What to build.
        tensors: The network's state dict, which is assigned, not copied.
        device: A torch device.
    """

    def __init__(self, spec: EncoderSpec, tensors: Mapping[str, Tensor], device: str) -> None:
        self.spec = spec
        self.device = torch.device(device)
        self.network = self.build(tensors).eval().requires_grad_(False).to(self.device)
        self._preparation = spec.preparation

    @abstractmethod
    def build(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """Build the network on the CPU with ``tensors`` in it."""

    @abstractmethod
    def forward(self, pixels: Tensor) -> PatchFeatures:
        """Encode (B, 3, h, w) normalised pictures on the encoder's device."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the state dict that builds this encoder again, on the CPU."""
        return {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}

    def prepare(self, picture: np.ndarray) -> Tensor:
        """Bring a picture, uint8 (H, W, 3), to the encoder's input, float32 (3, h, w)."""
        return self._preparation(picture)

    def encode(self, pixels: Tensor) -> PatchFeatures:
        """Encode prepared pictures.

        Args:
            pixels: float32 (B, 3, h, w), what ``prepare`` gave, on any device.

        Returns:
            Features on the encoder's device.
        """
        with torch.inference_mode(), self._autocast():
            return self.forward(pixels.to(self.device, non_blocking=True))

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = AUTOCAST.get(self.spec.settings.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)


def from_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Wrap arrays as tensors without a copy; they are only read, so they may be read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
