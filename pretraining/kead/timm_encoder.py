"""Vision-only encoders from timm: no text, so the memory bank alone scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights, build_model
from millsight.platform.weights.building import construct
from millsight.pretraining.kead.encoders import Encoder
from millsight.pretraining.kead.features import Grid, PatchFeatures, evenly_spaced

FINEST_STRIDE, COARSEST_STRIDE = 4, 16
"""Strides of the CNN stages whose features are kept: finer ones see no more than edges, coarser
ones lose small defects."""


class TimmEncoder(Encoder):
    """Features of a timm ViT's evenly spaced blocks, or of a CNN's middle stages."""

    def build(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """Build the network; one whose buffers are not all in ``tensors`` is built with values."""
        with torch.device("meta"):
            network = self._construct()
        network.load_state_dict(dict(tensors), strict=True, assign=True)
        if any(buffer.is_meta for buffer in network.buffers()):
            network = self._construct()
            network.load_state_dict(dict(tensors), strict=True, assign=True)
        self._indices = _choose_layers(network, self.spec.settings.layers)
        return network

    def forward(self, pixels: Tensor) -> PatchFeatures:
        """Encode (B, 3, h, w) normalised pictures on the encoder's device."""
        network: Any = self.network
        maps = network.forward_intermediates(
            pixels,
            indices=list(self._indices),
            intermediates_only=True,
            stop_early=True,
            output_fmt="NCHW",
            **({"norm": True} if _is_transformer(network) else {}),
        )
        grids: tuple[Grid, ...] = tuple((item.shape[2], item.shape[3]) for item in maps)
        return PatchFeatures(tuple(item.flatten(2).mT for item in maps), grids)

    def _construct(self) -> nn.Module:
        weights = self.spec.weights
        network = construct(weights.library, weights.architecture, weights.config)
        resized: nn.Module = _resized(network, self.spec.settings.image_size)
        return resized


def network_tensors(weights: LoadedWeights, image_size: int | None) -> dict[str, Tensor]:
    """Take the network's tensors, its position embeddings resampled to ``image_size``.

    Raises:
        UserError: If the network gives no intermediate features.
    """
    network = _resized(build_model(weights), image_size)
    if not hasattr(network, "forward_intermediates"):
        raise UserError(
            f"--encoder: timm's {weights.architecture} gives no intermediate features; name a "
            "network that has forward_intermediates, such as a ResNet, an EfficientNet or a ViT."
        )
    tensors: dict[str, Tensor] = network.state_dict()
    return tensors


def _resized(network: Any, image_size: int | None) -> Any:
    # Networks with position embeddings can resample them; a CNN takes any size as it is.
    if image_size is not None and hasattr(network, "set_input_size"):
        network.set_input_size(img_size=(image_size, image_size))
    return network


def _is_transformer(network: Any) -> bool:
    return hasattr(network, "blocks") and hasattr(network, "patch_embed")


def _choose_layers(network: Any, count: int) -> tuple[int, ...]:
    """Choose indices for ``forward_intermediates``: blocks of a ViT, stages of a CNN."""
    strides = [info["reduction"] for info in network.feature_info]
    if len(set(strides)) == 1:
        return tuple(number - 1 for number in evenly_spaced(len(strides), count))
    fitting = [i for i, s in enumerate(strides) if FINEST_STRIDE <= s <= COARSEST_STRIDE]
    return tuple(fitting[-count:])
