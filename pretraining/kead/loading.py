"""From loaded weights to an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.kead import clip_encoder, timm_encoder
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.encoders import Encoder, EncoderSpec
from millsight.pretraining.kead.text import EncodeTexts


def load_encoder(
    weights: LoadedWeights, config: KeADConfig, device: str = "cpu"
) -> tuple[Encoder, EncodeTexts | None]:
    """Build the encoder and, where the weights are CLIP's, what embeds its sentences.

    Raises:
        UserError: If the network has no V-V path (open_clip) or no intermediate features (timm).
    """
    bare = replace(weights, state_dict={})
    if weights.library == "open_clip":
        settings = config.settled(vision_only=False, any_size=False)
        tensors = clip_encoder.vision_tensors(weights, config.image_size)
        encoder = build_encoder(EncoderSpec(bare, settings), tensors, device)
        return encoder, clip_encoder.TextEncoder(weights)
    if config.compat == "official":
        raise UserError(
            f"compat: official needs a CLIP model, the released code knows no other; --encoder is "
            f"{weights.source}."
        )
    network = timm_encoder.resized_network(weights, config.image_size)
    any_size = not timm_encoder.has_positions(network)
    settings = config.settled(vision_only=True, any_size=any_size)
    return build_encoder(EncoderSpec(bare, settings), network.state_dict(), device), None


def build_encoder(spec: EncoderSpec, tensors: Mapping[str, Tensor], device: str) -> Encoder:
    """Build an encoder around tensors that another one gave; they are assigned, not copied."""
    if spec.weights.library == "open_clip":
        return clip_encoder.ClipEncoder(spec, tensors, device)
    return timm_encoder.TimmEncoder(spec, tensors, device)
