"""What was learned, in diffusers' own file formats."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor

from millsight.generators.diffusion.adapters import (
    CARD,
    EMBEDDINGS,
    LORA,
    AdapterCard,
    write_card,
)
from millsight.generators.diffusion.base import BaseModel
from millsight.generators.diffusion.training.module import AdaptationModule
from millsight.generators.diffusion.training.tokens import DELTA, text_encoders, token_rows
from millsight.platform import storage
from millsight.platform.artifacts import Draft


def export_adapter(module: AdaptationModule, base: BaseModel, draft: Draft) -> dict[str, Any]:
    """Write the adapter's files into an artifact; return how many numbers were learned.

    diffusers' ``load_lora_weights`` and ``load_textual_inversion`` read the weights, and
    ``open_adapter`` all of it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_low_rank(module, folder)
        _write_tokens(module, folder)
        write_card(folder, _card(module, base))
        for file in (LORA, *EMBEDDINGS, CARD):
            if (folder / file).is_file():
                storage.write_bytes(draft.file(file), (folder / file).read_bytes())
    learned = module.state_dict()
    tokens = sum(tensor.numel() for name, tensor in learned.items() if DELTA in name)
    return {
        "token_numbers": tokens,
        "low_rank_numbers": sum(tensor.numel() for tensor in learned.values()) - tokens,
    }


def _write_low_rank(module: AdaptationModule, folder: Path) -> None:
    layers = {"unet_lora_layers": _low_rank(module.unet)} if module.config.rank else {}
    if module.config.text_rank:
        names = ("text_encoder_lora_layers", "text_encoder_2_lora_layers")
        encoders = text_encoders(module.pipeline)
        layers |= {name: _low_rank(own) for name, own in zip(names, encoders, strict=False)}
    if layers:
        # The scale of the weights is alpha / rank = 1, which is what a file without it means.
        module.pipeline.save_lora_weights(folder, safe_serialization=True, **layers)


def _low_rank(part: Any) -> dict[str, Tensor]:
    from peft import get_peft_model_state_dict

    # Token rows, and the table that they were added to, are no low-rank weights.
    state = get_peft_model_state_dict(part, save_embedding_layers=False)
    return {name: own.detach().cpu() for name, own in state.items() if "lora_" in name}


def _write_tokens(module: AdaptationModule, folder: Path) -> None:
    from safetensors.torch import save_file

    for encoder, name in zip(text_encoders(module.pipeline), EMBEDDINGS, strict=False):
        rows = token_rows(encoder)
        if rows is None:
            continue
        parts = rows.detach().cpu().reshape(len(module.words), module.config.vectors, -1)
        tokens = {item.token: parts[at].clone() for at, item in enumerate(module.words)}
        save_file(tokens, folder / name, metadata={"format": "pt"})


def _card(module: AdaptationModule, base: BaseModel) -> AdapterCard:
    return AdapterCard(
        base=base.to_dict(),
        tokens={item.label: item.token for item in module.words if item.token},
        prompts={item.label: item.prompt for item in module.words},
        rank=module.config.rank,
        training={"config": module.config, "side": module.side},
    )
