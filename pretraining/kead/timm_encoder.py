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


class TimmEncoder(Encoder):
    """Features of a timm transformer's evenly spaced blocks, or of one deep stage of a CNN.

    Of a CNN built from stages of blocks (EfficientNet and its kin) it is the last stage but one, of
    any other the last. On the training splits of magnetic-tile and kolektor, shallower stages and
    means over stages were no better with four normal pictures: see README.md.
    """

    def build(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """Build the network; one whose buffers are not all in ``tensors`` is built with values."""
        with torch.device("meta"):
            network = self._construct()
        network.load_state_dict(dict(tensors), strict=True, assign=True)
        if any(buffer.is_meta for buffer in network.buffers()):
            network = self._construct()
            network.load_state_dict(dict(tensors), strict=True, assign=True)
        return network

    def forward(self, pixels: Tensor) -> PatchFeatures:
        """Encode (B, 3, h, w) normalised pictures on the encoder's device."""
        if has_positions(self.network):
            maps = self._block_features(pixels)
        else:
            maps = self._stage_features(pixels)
        grids: tuple[Grid, ...] = tuple((item.shape[2], item.shape[3]) for item in maps)
        return PatchFeatures(tuple(item.flatten(2).mT for item in maps), grids)

    def _block_features(self, pixels: Tensor) -> list[Tensor]:
        network: Any = self.network
        depth = len(network.feature_info)
        numbers = evenly_spaced(depth, self.spec.settings.layers)
        maps: list[Tensor] = network.forward_intermediates(
            pixels,
            indices=[number - 1 for number in numbers],
            intermediates_only=True,
            stop_early=True,
            output_fmt="NCHW",
            **({"norm": True} if hasattr(network, "patch_embed") else {}),
        )
        return maps

    def _stage_features(self, pixels: Tensor) -> list[Tensor]:
        network: Any = self.network
        stages = getattr(network, "blocks", None)
        if stages is None:
            last: list[Tensor] = network.forward_intermediates(
                pixels, indices=1, intermediates_only=True
            )
            return last
        found: list[Tensor] = []
        handle = stages[-2].register_forward_hook(lambda _, __, output: found.append(output))
        with handle:
            network.forward_features(pixels)
        return found

    def _construct(self) -> nn.Module:
        weights = self.spec.weights
        network = construct(weights.library, weights.architecture, weights.config)
        resized: nn.Module = _resized(network, self.spec.settings.image_size)
        return resized


def resized_network(weights: LoadedWeights, image_size: int | None) -> nn.Module:
    """Build the network, its position embeddings resampled to ``image_size``.

    Raises:
        UserError: If it gives no intermediate features.
    """
    network = _resized(build_model(weights), image_size)
    if not hasattr(network, "forward_intermediates"):
        raise UserError(
            f"--encoder: timm's {weights.architecture} gives no intermediate features; name a "
            "network that has forward_intermediates, such as a ResNet, an EfficientNet or a ViT."
        )
    return network


def has_positions(network: nn.Module) -> bool:
    """Say whether the network is bound to one size of pictures, as transformers are."""
    return hasattr(network, "set_input_size")


def _resized(network: nn.Module, image_size: int | None) -> nn.Module:
    if image_size is not None and has_positions(network):
        network.set_input_size(img_size=(image_size, image_size))  # type: ignore[operator]
    return network
