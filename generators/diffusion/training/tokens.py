"""New tokens for classes, and low-rank weights, put into a pipeline by PEFT."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from millsight.generators.diffusion.pipelines import towers
from millsight.generators.diffusion.training.config import PLACE, AdaptationConfig
from millsight.platform.errors import UserError

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT_ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj"]
EMBEDDING = "token_embedding"
DELTA = "trainable_tokens_delta"


@dataclass(frozen=True)
class ClassWords:
    """How a class is spoken of.

    Attributes:
        label: Class.
        token: The first of its new tokens; empty where it has none.
        prompt: Sentence with that token, or with the class's words.
        tokens: All of its new tokens: ``token``, ``token_1``, and so on, diffusers' way of writing
            an embedding of several rows.
    """

    label: str
    token: str
    prompt: str
    tokens: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The prompt as the tokenizer gets it, with all the tokens."""
        return self.prompt.replace(self.token, " ".join(self.tokens)) if self.token else self.prompt


def speak_of(labels: Sequence[str], config: AdaptationConfig) -> tuple[ClassWords, ...]:
    """Name the tokens and write the prompts of classes.

    Raises:
        UserError: If two classes would get one token.
    """
    words = tuple(_words(number, label, config) for number, label in enumerate(labels))
    tokens = [item.token for item in words if item.token]
    if len(set(tokens)) < len(tokens):
        raise UserError(
            f"--training.labels {', '.join(labels)}: two of them differ in punctuation only, and "
            "would share a token; learn them one by one with --each true."
        )
    return words


def _words(number: int, label: str, config: AdaptationConfig) -> ClassWords:
    spoken = " ".join(re.split(r"[\W_]+", label)).strip() or "defect"
    if not config.vectors:
        return ClassWords(label, "", config.prompt.replace(PLACE, spoken))
    slug = "-".join(re.findall(r"[a-z0-9]+", label.lower())) or f"class-{number}"
    token = f"<{slug}>"
    more = tuple(f"{token}_{at}" for at in range(1, config.vectors))
    return ClassWords(label, token, config.prompt.replace(PLACE, token), (token, *more))


def adapt(pipeline: Any, words: Sequence[ClassWords], config: AdaptationConfig) -> None:
    """Put new tokens and low-rank weights into a pipeline; nothing else in it can learn.

    A token starts as the mean embedding of its class's words. The global random state stays as it
    was; the low-rank weights depend on the seed alone.
    """
    from peft import LoraConfig

    for part in (pipeline.unet, pipeline.vae, *text_encoders(pipeline)):
        part.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        if config.rank:
            pipeline.unet.add_adapter(_low_rank(LoraConfig, config.rank, ATTENTION))
        for tokenizer, encoder in towers(pipeline):
            _adapt_text(tokenizer, encoder, words, config)


def text_encoders(pipeline: Any) -> list[Any]:
    """Return the text encoders: one for SD, two for SDXL."""
    return [encoder for _, encoder in towers(pipeline)]


def token_rows(encoder: nn.Module) -> nn.Parameter | None:
    """Return the ``(rows, D)`` embeddings of the new tokens, in their order; ``None`` if none."""
    found = [own for name, own in encoder.named_parameters() if DELTA in name]
    return found[0] if found else None


def _adapt_text(
    tokenizer: Any, encoder: Any, words: Sequence[ClassWords], config: AdaptationConfig
) -> None:
    from peft import LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    if not config.vectors and not config.text_rank:
        return
    targets = TEXT_ATTENTION if config.text_rank else DUMMY_TARGET_MODULES
    settings = _low_rank(LoraConfig, config.text_rank or 1, targets)
    if config.vectors:
        rows = _add_rows(tokenizer, encoder, words)
        settings.trainable_token_indices = {EMBEDDING: rows}
    encoder.add_adapter(settings)


def _low_rank(settings: Any, rank: int, targets: Any) -> Any:
    return settings(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets)


def _add_rows(tokenizer: Any, encoder: Any, words: Sequence[ClassWords]) -> list[int]:
    """Add the tokens with their first embeddings; return their numbers."""
    own = encoder.get_input_embeddings().weight
    starts = [_start(tokenizer, own, item) for item in words]
    tokens = [token for item in words for token in item.tokens]
    added = tokenizer.add_tokens(tokens)
    if added < len(tokens):
        raise UserError(
            f"--training.base: its vocabulary has some of {', '.join(tokens)} already; name the "
            "base model itself, not one that was adapted."
        )
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    rows: list[int] = tokenizer.convert_tokens_to_ids(tokens)
    with torch.no_grad():
        table = encoder.get_input_embeddings().weight
        table[rows] = torch.cat(
            [start.expand(len(item.tokens), -1) for start, item in zip(starts, words, strict=True)]
        )
    # The table is a new one, which can learn until it is told not to.
    encoder.requires_grad_(False)
    return rows


def _start(tokenizer: Any, table: Tensor, item: ClassWords) -> Tensor:
    spoken = re.sub(r"[\W_]+", " ", item.label).strip() or "defect"
    pieces = tokenizer(spoken, add_special_tokens=False).input_ids
    return table[pieces].mean(dim=0, keepdim=True).detach().clone()
