"""The text encoder's first lesson: to tell what a sentence is about, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from millsight.platform.progress import Progress

BATCH = 128
RATE = 2e-3


def teach_words(
    encoder: Any,
    sentences: Sequence[Tensor],
    subjects: Sequence[str],
    *,
    steps: int,
    seed: int,
    progress: Progress,
) -> float:
    """Train a text encoder to tell subjects apart by the mean of all its states.

    A U-Net begins by attending to all 77 states alike, most of which are padding; in an untrained
    encoder they hardly differ between sentences, and it learns to draw without listening.

    Args:
        encoder: A transformers ``CLIPTextModel``; changed in place.
        sentences: Token ids ``(M_i, 77)`` of each picture's sentences.
        subjects: What each picture shows; equal for equal pictures.
        steps: Batches of 128 sentences.
        seed: Of the choice of sentences.
        progress: Called with steps done and steps in all.

    Returns:
        Share of the last batches' sentences whose subject was told.
    """
    names = {name: at for at, name in enumerate(sorted(set(subjects)))}
    targets = torch.tensor([names[name] for name in subjects])
    head = nn.Linear(encoder.config.hidden_size, len(names))
    learned = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(learned, lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(2, steps))
    draw = np.random.default_rng(seed)
    right: list[float] = []
    encoder.train()
    for step in range(steps):
        chosen = draw.integers(len(sentences), size=BATCH)
        tokens = torch.stack(
            [sentences[at][draw.integers(len(sentences[at]))] for at in chosen.tolist()]
        )
        scores = head(encoder(tokens).last_hidden_state.mean(dim=1))
        wanted = targets[chosen]
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(scores, wanted))
        optimizer.step()
        schedule.step()
        right.append(float((scores.argmax(dim=1) == wanted).float().mean()))
        progress(step + 1, steps)
    return float(np.mean(right[-10:])) if right else 0.0
