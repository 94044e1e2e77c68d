"""Stable Diffusion pipelines with random weights, in the standard diffusers layout."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

TOKENS = 77
# Stable Diffusion's own noise schedule.
SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Layout:
    """Sizes of a pipeline's parts.

    Attributes:
        unet_widths: Channels of the U-Net's levels; all but the first attend to the text.
        vae_widths: Channels of the autoencoder's levels; its factor is 2 to their number less 1.
        text_width: Width of the text encoder and of the cross attention.
        text_layers: Layers of the text encoder.
        merges: Merges of CLIP's byte-pair vocabulary that the tokenizer keeps.
        side: Side of the pictures it is made for, pixels.
        in_channels: Of the U-Net: 4, or 9 for an inpainting model.
        prediction_type: ``epsilon`` or ``v_prediction``.
        groups: Of the group normalisations.
    """

    unet_widths: tuple[int, ...] = (8, 16)
    vae_widths: tuple[int, ...] = (8, 8, 16, 16)
    text_width: int = 32
    text_layers: int = 2
    merges: int = 1000
    side: int = 64
    in_channels: int = 4
    prediction_type: str = "epsilon"
    groups: int = 4


def build_untrained(layout: Layout, seed: int = 0) -> Any:
    """Build a pipeline; the global random state stays as it was.

    Returns:
        A diffusers ``StableDiffusionPipeline``, or ``StableDiffusionInpaintPipeline`` where the
        U-Net has 9 channels, on the CPU in float32, without a safety checker.
    """
    from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline

    parts: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts["tokenizer"] = clip_tokenizer(layout.merges)
        parts["text_encoder"] = _text_encoder(layout, parts["tokenizer"])
        parts["unet"] = _unet(layout)
        parts["vae"] = _vae(layout)
    parts["scheduler"] = _scheduler(layout)
    kind: Any = (
        StableDiffusionInpaintPipeline if layout.in_channels == 9 else StableDiffusionPipeline
    )
    return kind(**parts, requires_safety_checker=False)


def clip_tokenizer(merges: int) -> Any:
    """Build CLIP's tokenizer from open_clip's own vocabulary file.

    Args:
        merges: How many of its byte-pair merges are kept, the commonest first; 48,894 give
            CLIP's own ids.

    Returns:
        A transformers ``CLIPTokenizer`` of 77 tokens.
    """
    import open_clip
    from open_clip.tokenizer import bytes_to_unicode
    from transformers import CLIPTokenizer

    packed = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(packed.read_bytes()).decode("utf-8").split("\n")[1 : merges + 1]
    pairs = [(first, second) for first, second in (line.split() for line in lines)]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(p) for p in pairs)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    # Its annotation knows file names only.
    kind: Any = CLIPTokenizer
    return kind(vocab=vocabulary, merges=pairs, model_max_length=TOKENS)


def _text_encoder(layout: Layout, tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=layout.text_width,
        intermediate_size=2 * layout.text_width,
        num_hidden_layers=layout.text_layers,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        projection_dim=layout.text_width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    encoder: Any = CLIPTextModel(config)
    return encoder.eval()


def _unet(layout: Layout) -> Any:
    from diffusers import UNet2DConditionModel

    more = len(layout.unet_widths) - 1
    return UNet2DConditionModel(
        sample_size=layout.side // vae_factor(layout),
        in_channels=layout.in_channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=layout.unet_widths,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * more),
        up_block_types=(*("CrossAttnUpBlock2D",) * more, "UpBlock2D"),
        cross_attention_dim=layout.text_width,
        attention_head_dim=4,
        norm_num_groups=layout.groups,
    ).eval()


def _vae(layout: Layout) -> Any:
    from diffusers import AutoencoderKL

    levels = len(layout.vae_widths)
    return AutoencoderKL(
        latent_channels=4,
        block_out_channels=layout.vae_widths,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=layout.groups,
        sample_size=layout.side,
    ).eval()


def _scheduler(layout: Layout) -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(prediction_type=layout.prediction_type, **SCHEDULE)


def vae_factor(layout: Layout) -> int:
    """Pixels per latent, along a side."""
    factor: int = 2 ** (len(layout.vae_widths) - 1)
    return factor
