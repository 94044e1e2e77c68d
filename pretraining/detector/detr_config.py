"""Settings of the detection transformers, and transformers' own configuration made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import DFineConfig, PreTrainedConfig, RTDetrV2Config, TimmBackboneConfig

from millsight.platform.errors import UserError
from millsight.pretraining.detector.stages import BackboneChoice, build_network, last_stages

N_STAGES = 3
# Share of queries that a fresh detector calls a defect (arXiv 1708.02002, section 4.1).
PRIOR = 0.01
Variant = Literal["rtdetr_v2", "d_fine", "dino_like"]


@dataclass(frozen=True)
class DetrConfig:
    """Settings; the defaults are the authors' for a ResNet-50.

    transformers 5.23 has no DINO (arXiv 2203.03605) for pictures alone: Grounding DINO needs text
    and has no denoising, and its two-stage Deformable DETR has neither denoising nor a loss on its
    proposals. RT-DETR descends from DINO, and ``dino_like`` is RT-DETRv2 with DINO's counts: 900
    queries on four levels. It shares with DINO the contrastive denoising, the proposals from
    the encoder with a loss of their own and the refinement of boxes layer by layer. It differs in
    the encoder (attention within the coarsest level and convolutions across levels, in place of six
    layers of deformable attention), the class loss (varifocal, not focal), the queries' content
    (taken from the encoder, not learnt) and boxes that do not look forward twice.

    Attributes:
        variant: ``rtdetr_v2`` (arXiv 2407.17140), ``d_fine`` (arXiv 2410.13842) or ``dino_like``.
        image_size: Height and width, pixels, that pictures are brought to; a multiple of 32.
        width: Channels of encoder and decoder.
        feedforward: Hidden channels of their feed-forward layers.
        decoder_layers: Each refines the boxes of the one before.
        queries: Boxes proposed; by default 300, with ``dino_like`` 900.
        denoising: Noisy true boxes that the decoder mends beside its own, per picture.
    """

    variant: Variant = "rtdetr_v2"
    image_size: int = 640
    width: int = 256
    feedforward: int = 1024
    decoder_layers: int = 6
    queries: int | None = None
    denoising: int = 100


def library_config(choice: BackboneChoice, n_classes: int, config: DetrConfig) -> PreTrainedConfig:
    """Make transformers' configuration.

    Raises:
        UserError: If transformers cannot use the backbone, or the size is no multiple of 32.
    """
    if config.image_size % 32 or config.image_size < 64:
        raise UserError("--training.image_size: a multiple of 32, at least 64.")
    with torch.device("meta"):
        stages = last_stages(build_network(choice.architecture), N_STAGES)
    if choice.architecture.startswith("swin"):
        raise UserError(
            f"--training.backbone {choice.architecture}: transformers does not turn timm's Swin "
            "features around (it wants channels first); take Faster R-CNN or YOLO for it, or a "
            "ResNet, EfficientNet or ConvNeXt here."
        )
    levels = 4 if config.variant == "dino_like" else N_STAGES
    backbone: dict[str, Any] = {
        "backbone": choice.architecture,
        "out_indices": [stage.index for stage in stages],
    }
    settings: dict[str, Any] = {
        "backbone_config": TimmBackboneConfig(**backbone),
        # Its frozen norm would also drop the activation that timm's norms of EfficientNets hold.
        "freeze_backbone_batch_norms": False,
        "num_labels": n_classes,
        "initializer_bias_prior_prob": PRIOR,
        "encoder_in_channels": [stage.channels for stage in stages],
        "feat_strides": [stage.stride for stage in stages],
        "encoder_hidden_dim": config.width,
        "encoder_ffn_dim": config.feedforward,
        "d_model": config.width,
        "decoder_in_channels": [config.width] * N_STAGES,
        "decoder_ffn_dim": config.feedforward,
        "decoder_layers": config.decoder_layers,
        "num_feature_levels": levels,
        "num_queries": config.queries or (900 if config.variant == "dino_like" else 300),
        "num_denoising": config.denoising,
    }
    if config.variant == "d_fine":
        return DFineConfig(**settings)
    return RTDetrV2Config(**settings, decoder_n_levels=levels)
