"""Base models in memory, as diffusers' own pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor

from millsight.generators.diffusion.base import CONFIG, BaseModel
from millsight.platform.errors import UserError
from millsight.platform.weights.files import read_json


def load_pipeline(
    base: BaseModel, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Any:
    """Build the diffusers pipeline of a base model.

    Args:
        base: What to load.
        device: Where to put it.
        dtype: Of the parameters.

    Returns:
        A ``StableDiffusionPipeline``, ``StableDiffusionXLPipeline`` or the inpainting one of
        either, in evaluation mode, without progress bars and safety checker.

    Raises:
        UserError: If the weights do not fit the configs.
    """
    loggers: tuple[Any, ...] = (diffusers.utils.logging, transformers.utils.logging)
    for logger in loggers:
        logger.disable_progress_bar()
    # The checker judges photographs of people; its absence is no accident.
    parts: dict[str, Any] = (
        {}
        if base.family == "sdxl"
        else {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    )
    if base.vae is not None:
        parts["vae"] = _load_vae(base.vae, dtype)
    try:
        pipeline = pipeline_class(base).from_pretrained(
            base.folder,
            variant=base.variant.removeprefix(".") or None,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            **parts,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{base.source}: diffusers cannot load it ({error}).") from error
    if base.family == "sdxl" and dtype == torch.float16 and pipeline.vae.config.force_upcast:
        # SDXL's own autoencoder overflows in half precision.
        pipeline.vae.to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def pipeline_class(base: BaseModel) -> Any:
    """Return the diffusers class that a base model's folder belongs to."""
    name = "StableDiffusionXL" if base.family == "sdxl" else "StableDiffusion"
    return getattr(diffusers, f"{name}{'Inpaint' if base.inpainting else ''}Pipeline")


def towers(pipeline: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of tokenizer and text encoder: one for SD, two for SDXL."""
    names = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    pairs = [tuple(getattr(pipeline, name, None) for name in pair) for pair in names]
    return [(tokenizer, encoder) for tokenizer, encoder in pairs if encoder is not None]


def unet_arguments(states: Mapping[str, Tensor], side: int) -> dict[str, Any]:
    """Return the U-Net's keyword arguments for text states of ``side`` x ``side`` pictures."""
    arguments: dict[str, Any] = {"encoder_hidden_states": states["prompt_embeds"]}
    pooled = states.get("pooled_prompt_embeds")
    if pooled is not None:
        # SDXL's size conditioning: original size, corner of the crop, size wanted.
        sizes = pooled.new_tensor([side, side, 0, 0, side, side]).expand(len(pooled), 6)
        arguments["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes}
    return arguments


def _load_vae(folder: Path, dtype: torch.dtype) -> Any:
    kind = getattr(diffusers, read_json(folder / CONFIG)["_class_name"])
    try:
        return kind.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"--vae {folder}: diffusers cannot load it ({error}).") from error
