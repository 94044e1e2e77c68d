"""The trained model as files that open_clip reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from millsight.platform import storage
from millsight.pretraining.micro_clip.config import MicroClipConfig
from millsight.pretraining.micro_clip.train import MEAN, STD

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
CARD_FILE = "README.md"


def export(model: Any, config: MicroClipConfig, directory: str) -> None:
    """Write ``open_clip_config.json`` and fp16 ``open_clip_model.safetensors``."""
    tensors = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    with storage.writing(f"{directory}/{WEIGHTS_FILE}") as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    preprocess = {
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    text = json.dumps(
        {"model_cfg": config.network.model_cfg(), "preprocess_cfg": preprocess}, indent=2
    )
    storage.write_bytes(f"{directory}/{CONFIG_FILE}", f"{text}\n".encode())


def write_card(path: Path, facts: Mapping[str, Any]) -> None:
    """Write the model card: what the weights are, what made them, what they can do.

    Args:
        path: The card's file.
        facts: ``command``, ``config``, ``data``, ``teacher_sha256``, ``parameters`` and
            ``metrics``, as ``pretrain`` gathers them.
    """
    metrics = "\n".join(f"| {name} | {_shown(value)} |" for name, value in facts["metrics"].items())
    settings = json.dumps(facts["config"], indent=2)
    path.write_text(
        f"""# Micro CLIP

An open_clip image-text model of {facts["parameters"] / 1e6:.1f} million parameters, small enough to
ship, so that everything in millsight runs without a network. It has seen procedural steel only and
stands in for a real CLIP: name one with `--kead.encoder open_clip:MODEL/TAG`.

- **Made by** `{facts["command"]}` with the settings below.
- **Data**: {facts["data"]}
- **Teacher**: {facts["config"]["teacher"]}, tensors' SHA-256 `{facts["teacher_sha256"][:16]}`.
- **Tensors**: fp16; words that no caption uses are zero vectors.

Measured on held-out procedural pictures (a split by content hash), by the same command:

| metric | value |
|---|---|
{metrics}

Settings:

```json
{settings}
```
""",
        encoding="utf-8",
    )


def _shown(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def count_parameters(model: torch.nn.Module) -> int:
    """Return the number of trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters())
