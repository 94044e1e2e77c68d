"""Adapters of a base model: LoRA weights and token embeddings in diffusers' own file formats.

A folder holds ``pytorch_lora_weights.safetensors`` (``pipeline.load_lora_weights``),
``learned_embeds.safetensors`` (one tensor ``(n, d)`` per token, as in
``pipeline.load_textual_inversion({token: tensor})``; ``learned_embeds_2.safetensors`` for SDXL's
second text encoder) and ``adapter.json``. One of the two kinds of weights may be absent.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millsight.generators.diffusion.base import BaseModel, sha256_of
from millsight.platform import storage
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import digest, to_json
from millsight.platform.weights.files import read_json, read_tensors

if TYPE_CHECKING:
    import torch

CARD = "adapter.json"
LORA = "pytorch_lora_weights.safetensors"
EMBEDDINGS = ("learned_embeds.safetensors", "learned_embeds_2.safetensors")
SCHEMA_VERSION = 1
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter was made for.

    Attributes:
        base: ``BaseModel.to_dict()`` of the model that it changes.
        tokens: New token by class; how many vectors it has, its embedding says.
        prompts: By class, the text that it was trained with and is sampled with.
        rank: Of the LoRA; 0 where there is none.
        training: What else should be known of its making.
    """

    base: Mapping[str, Any]
    tokens: Mapping[str, str]
    prompts: Mapping[str, str]
    rank: int
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """An adapter on this machine's disk, checked, not yet in a pipeline.

    Attributes:
        folder: Where its files lie.
        card: What it was made for.
        sha256: 64 hex digits over its weight files and its card.
    """

    folder: Path
    card: AdapterCard
    sha256: str

    @property
    def name(self) -> str:
        """Its name within a pipeline, from its hash."""
        return f"adapter_{self.sha256[:12]}"

    @property
    def side(self) -> int | None:
        """Side of the crops that it learned from, pixels; ``None`` where its card does not say."""
        side = self.card.training.get("side")
        return side if isinstance(side, int) and side > 0 else None

    @property
    def lora(self) -> Path | None:
        """The file of its LoRA weights, if it has any."""
        return self.folder / LORA if (self.folder / LORA).is_file() else None

    def embeddings(self) -> list[dict[str, torch.Tensor]]:
        """Return ``(n, d)`` float32 by token for each text encoder that has new ones."""
        files = [self.folder / name for name in EMBEDDINGS if (self.folder / name).is_file()]
        return [read_tensors(file) for file in files]

    def prompt(self, label: str) -> str:
        """Return the prompt of a class.

        Raises:
            UserError: If the adapter was not trained on it.
        """
        if label not in self.card.prompts:
            raise UserError(
                f"--adapter {self.folder}: it knows no class {label!r}, only "
                f"{', '.join(sorted(self.card.prompts))}."
            )
        return self.card.prompts[label]


def write_card(folder: Path, card: AdapterCard) -> None:
    """Write ``adapter.json`` beside an adapter's weights."""
    content = {"schema_version": SCHEMA_VERSION, **to_json(card)}
    storage.write_bytes(folder / CARD, (json.dumps(content, indent=2) + "\n").encode())


def open_adapter(source: str | Path, base: BaseModel) -> Adapter:
    """Read and check an adapter.

    Args:
        source: Its folder.
        base: The model that it is meant to change.

    Raises:
        UserError: If it is none, holds pickles, is damaged, holds numbers that are not finite, or
            was made for another base model.
    """
    folder = Path(source).expanduser()
    pickles = sorted(file.name for file in folder.rglob("*") if file.suffix in PICKLES)
    if pickles:
        raise UserError(
            f"--adapter {folder}: {pickles[0]} is a pickle, which can run code when it is opened; "
            "adapters are safetensors only. Train it again, or convert it where you trust it."
        )
    if not (folder / CARD).is_file():
        raise UserError(
            f"--adapter {folder}: no {CARD} there; name a folder that `millsight generate train` "
            "made."
        )
    card = _read_card(folder / CARD)
    if card.base.get("fingerprint") != base.fingerprint:
        raise UserError(
            f"--adapter {folder}: made for {card.base.get('source')} (fingerprint "
            f"{str(card.base.get('fingerprint'))[:12]}), but --base is {base.source} "
            f"({base.fingerprint[:12]}). Name the base model that it was trained on."
        )
    files = [folder / name for name in (LORA, *EMBEDDINGS) if (folder / name).is_file()]
    if not files:
        raise UserError(f"--adapter {folder}: neither {LORA} nor {EMBEDDINGS[0]} is there.")
    for file in files:
        _check_finite(file)
    hashes = {file.name: sha256_of(file) for file in (*files, folder / CARD)}
    return Adapter(folder, card, digest(hashes))


def _read_card(file: Path) -> AdapterCard:
    content = read_json(file)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{file}: schema version {content.get('schema_version')}; this millsight reads "
            f"{SCHEMA_VERSION}."
        )
    names = {item.name for item in dataclasses.fields(AdapterCard)}
    missing = sorted(names - content.keys())
    if missing:
        raise UserError(f"{file}: lacks {', '.join(missing)}; train the adapter again.")
    return AdapterCard(**{name: content[name] for name in names})


def _check_finite(file: Path) -> None:
    for name, tensor in read_tensors(file).items():
        if not tensor.isfinite().all():
            raise UserError(f"{file}: {name} holds numbers that are not finite; train it again.")
