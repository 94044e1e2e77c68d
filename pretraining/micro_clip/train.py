"""The training loop of the micro CLIP."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional

from millsight.platform import storage
from millsight.platform.training import require_finite
from millsight.pretraining.kead.vv_attention import VVVisionTransformer
from millsight.pretraining.micro_clip.config import MicroClipConfig
from millsight.pretraining.micro_clip.dataset import CaptionedPictures
from millsight.pretraining.micro_clip.losses import (
    DistillationHead,
    contrastive_loss,
    region_loss,
)

MEAN, STD = 0.5, 0.25
WARM_UP = 0.05
STATE_SENTENCES = 4

Log = Callable[[Mapping[str, float], int], None]


@dataclass
class Training:
    """A run that can be saved after any epoch and gone on with.

    Attributes:
        model: The open_clip model in training.
        head: The distillation head; ``None`` without distillation.
        optimizer: AdamW over both.
        epoch: Epochs done.
    """

    config: MicroClipConfig
    model: Any
    head: DistillationHead | None
    optimizer: torch.optim.Optimizer
    epoch: int = 0

    @classmethod
    def start(
        cls, config: MicroClipConfig, texts: list[str], channels: tuple[int, ...]
    ) -> Training:
        """Make a model with seeded random weights.

        Words that no caption uses start, and so stay, at zero: an unknown word says nothing.
        """
        torch.manual_seed(config.seed)
        model: Any = open_clip.CLIP(**config.network.model_cfg())
        tokens = torch.from_numpy(np.unique(tokenize(config, texts).numpy()))
        unused = torch.ones(model.vocab_size, dtype=torch.bool)
        unused[tokens] = False
        with torch.no_grad():
            model.token_embedding.weight[unused] = 0
        distils = config.loss.distillation > 0
        head = DistillationHead(4, config.network.embed_dim, channels) if distils else None
        return cls(config, model, head, _optimizer(config, model, head))

    def save(self, path: str) -> None:
        """Write a checkpoint atomically."""
        state = {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "head": self.head.state_dict() if self.head else {},
            "optimizer": self.optimizer.state_dict(),
        }
        with storage.writing(path) as file:
            torch.save(state, file)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint that ``save`` wrote."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        if self.head:
            self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]

    def run_epoch(self, data: CaptionedPictures, teacher: Tensor | None, log: Log) -> None:
        """Train on every picture once; order and captions depend on seed and epoch alone.

        Args:
            data: The pictures.
            teacher: float16 (N, G, G, C), or ``None`` without distillation.
            log: Called with the losses after each step.

        Raises:
            UserError: If the loss is not finite.
        """
        rng = np.random.default_rng([self.config.seed, self.epoch])
        steps = len(data) // self.config.batch_size
        dense = VVVisionTransformer(self.model.visual)
        self.model.train()
        for step, batch in enumerate(_batches(data, teacher, self.config, rng)):
            done = self.epoch * steps + step
            rate = _learning_rate(self.config, done, steps * self.config.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses = self._losses(dense, batch)
            parts = {name: value for name, value in losses.items() if name != "loss"}
            require_finite(parts, done, "--training.learning_rate")
            self.optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            with torch.no_grad():
                self.model.logit_scale.clamp_(0, math.log(100))
            log({name: float(value.detach()) for name, value in losses.items()}, done + 1)
        self.epoch += 1

    def _losses(self, dense: VVVisionTransformer, batch: _Batch) -> dict[str, Tensor]:
        weights = self.config.loss
        features = dense(batch.pixels)
        pictures = functional.normalize(cast(Tensor, features.class_token), dim=-1)
        texts = self.model.encode_text(batch.tokens, normalize=True)
        scale = self.model.logit_scale.exp()
        losses = {"contrastive": contrastive_loss(pictures, texts, scale, batch.classes)}
        total = weights.contrastive * losses["contrastive"]
        if self.head is not None and batch.teacher is not None:
            losses["distillation"] = self.head(features.layers, batch.teacher)
            total = total + weights.distillation * losses["distillation"]
        if weights.region > 0:
            each = self.model.encode_text(batch.state_tokens, normalize=True)
            pair = functional.normalize(each.unflatten(0, (2, STATE_SENTENCES)).mean(1), dim=-1)
            losses["region"] = region_loss(features.layers, pair, batch.covered)
            total = total + weights.region * losses["region"]
        return {"loss": total, **losses}


@dataclass(frozen=True)
class _Batch:
    pixels: Tensor
    tokens: Tensor
    state_tokens: Tensor
    classes: Tensor
    covered: Tensor
    teacher: Tensor | None


def tokenize(config: MicroClipConfig, texts: list[str]) -> Tensor:
    """Return int64 (N, context_length) token ids by open_clip's own tokenizer."""
    tokenizer = open_clip.SimpleTokenizer(context_length=config.network.context_length)
    tokens: Tensor = tokenizer(texts)
    return tokens


def to_pixels(pictures: np.ndarray) -> Tensor:
    """Normalise grey uint8 (B, S, S) pictures to float32 (B, 3, S, S)."""
    grey = torch.from_numpy(np.ascontiguousarray(pictures)).float().div(255)
    return ((grey - MEAN) / STD)[:, None].expand(-1, 3, -1, -1)


def _batches(
    data: CaptionedPictures,
    teacher: Tensor | None,
    config: MicroClipConfig,
    rng: np.random.Generator,
) -> Iterator[_Batch]:
    order = rng.permutation(len(data))
    names = {name: number for number, name in enumerate(sorted(set(data.classes)))}
    states = _pictures_by_state(data)
    for start in range(0, len(order) - config.batch_size + 1, config.batch_size):
        indices = order[start : start + config.batch_size]
        captions = [str(rng.choice(data.captions[i])) for i in indices]
        # An ensemble, as KeAD averages its prompts: no single wording is what "damaged" means.
        chosen = [i for state in states for i in rng.choice(state, STATE_SENTENCES)]
        flip, gain, offset = rng.random(2) < 0.5, rng.uniform(0.8, 1.25), rng.uniform(-20, 20)
        pictures = np.clip(data.pictures[indices] * gain + offset, 0, 255).astype(np.uint8)
        axes = tuple(axis for axis, wanted in zip((1, 2), flip, strict=True) if wanted)
        covered = np.flip(data.masks[indices], axes).astype(np.float32) / 100
        yield _Batch(
            to_pixels(np.flip(pictures, axes)),
            tokenize(config, captions),
            tokenize(config, [str(rng.choice(data.captions[i])) for i in chosen]),
            torch.tensor([names[data.classes[i]] for i in indices]),
            torch.from_numpy(covered).flatten(1),
            None if teacher is None else teacher[indices].flip(axes).flatten(1, 2).float(),
        )


def _pictures_by_state(data: CaptionedPictures) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the good and of the defective pictures."""
    good = np.array([label == "good" for _, label in data.classes])
    return np.flatnonzero(good), np.flatnonzero(~good)


def _optimizer(
    config: MicroClipConfig, model: nn.Module, head: nn.Module | None
) -> torch.optim.Optimizer:
    parameters = [*model.parameters(), *(head.parameters() if head else ())]
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


def _learning_rate(config: MicroClipConfig, step: int, steps: int) -> float:
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
