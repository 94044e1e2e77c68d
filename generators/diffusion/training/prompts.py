"""Prompts as what the U-Net attends to, for one text encoder or SDXL's two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from millsight.generators.diffusion.pipelines import towers

States = dict[str, Tensor]


def encode_prompts(pipeline: Any, sentences: Sequence[str]) -> States:
    """Encode sentences as diffusers' own pipelines do.

    Args:
        pipeline: With its text encoders.
        sentences: As the tokenizer gets them.

    Returns:
        ``prompt_embeds`` ``(P, 77, D)``; for SDXL ``pooled_prompt_embeds`` ``(P, E)`` too.
    """
    pairs = towers(pipeline)
    if len(pairs) == 1:
        return {"prompt_embeds": _run(*pairs[0], sentences).last_hidden_state}
    outputs = [_run(*pair, sentences) for pair in pairs]
    # The last layer but one of both; the pooled text is the second encoder's.
    states = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
    pooled = outputs[-1].text_embeds
    if pipeline.config.force_zeros_for_empty_prompt:
        bare = torch.tensor([not sentence for sentence in sentences], device=states.device)
        states = states.masked_fill(bare[:, None, None], 0)
        pooled = pooled.masked_fill(bare[:, None], 0)
    return {"prompt_embeds": states, "pooled_prompt_embeds": pooled}


def take(states: Mapping[str, Tensor], rows: Tensor) -> States:
    """Return the states of some sentences."""
    return {name: tensor[rows] for name, tensor in states.items()}


def _run(tokenizer: Any, encoder: Any, sentences: Sequence[str]) -> Any:
    tokens = tokenizer(
        list(sentences),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return encoder(tokens.input_ids.to(encoder.device), output_hidden_states=True)
