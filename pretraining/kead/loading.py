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
    spec = EncoderSpec(replace(weights, state_dict={}), config)
    if weights.library == "open_clip":
        tensors = clip_encoder.vision_tensors(weights, config.image_size)
        encode_texts = clip_encoder.text_encoder(weights)
        return build_encoder(spec, tensors, device), encode_texts
    if config.compat == "official":
        raise UserError(
            f"compat: official needs a CLIP model, the released code knows no other; --encoder is "
            f"{weights.source}."
        )
    return build_encoder(
        spec, timm_encoder.network_tensors(weights, config.image_size), device
    ), None


def build_encoder(spec: EncoderSpec, tensors: Mapping[str, Tensor], device: str) -> Encoder:
    """Build an encoder around tensors that another one gave; they are assigned, not copied."""
    if spec.weights.library == "open_clip":
        return clip_encoder.ClipEncoder(spec, tensors, device)
    return timm_encoder.TimmEncoder(spec, tensors, device)
