"""Stable Diffusion in miniature: standard folders of about 1 MB with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

from millsight.generators.diffusion.adapters import EMBEDDINGS, AdapterCard, write_card
from millsight.generators.diffusion.base import BaseModel
from millsight.generators.diffusion.pipelines import load_pipeline
from millsight.generators.diffusion.untrained import Layout, build_untrained

CARD = "---\nlicense: apache-2.0\n---\nRandom weights.\n"
SIDE = 64


def write_tiny_sd(folder: Path, layout: Layout | None = None, *, card: str = CARD) -> Path:
    """Write a pipeline folder with a model card; VAE factor 8, pictures of 64 px."""
    build_untrained(layout or Layout(side=SIDE)).save_pretrained(folder)
    (folder / "README.md").write_text(card)
    return folder


def write_tiny_adapter(
    folder: Path,
    base: BaseModel,
    *,
    seed: int = 0,
    tokens: Mapping[str, str] | None = None,
    lora: bool = True,
    text_lora: bool = False,
) -> Path:
    """Write an adapter of random LoRA weights and two random vectors per token."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = {"scratch": "<scratch>"} if tokens is None else tokens
    pipeline = load_pipeline(base)
    torch.manual_seed(seed)
    layers = {}
    if lora:
        layers["unet_lora_layers"] = _random_lora(pipeline.unet, ["to_q", "to_v"])
    if text_lora:
        layers["text_encoder_lora_layers"] = _random_lora(pipeline.text_encoder, ["q_proj"])
    if layers:
        pipeline.save_lora_weights(folder, **layers)
    width = pipeline.text_encoder.config.hidden_size
    if tokens:
        rows = {token: torch.randn(2, width) for token in tokens.values()}
        save_file(rows, folder / EMBEDDINGS[0])
    prompts = {label: f"a photo of {token}" for label, token in tokens.items()}
    write_card(folder, AdapterCard(base.to_dict(), tokens, prompts or {"scratch": "a scratch"}, 2))
    return folder


def _random_lora(part: torch.nn.Module, targets: list[str]) -> dict[str, torch.Tensor]:
    part.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets))
    state = get_peft_model_state_dict(part)
    return {name: torch.randn_like(tensor) for name, tensor in state.items()}
