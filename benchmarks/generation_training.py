"""Time of a training step of the diffusion adapter, beside a plain diffusers + peft loop.

Part of ``python -m benchmarks.generation``. From one run, same base model, batch, tokens, low-rank
weights and optimizer:

- ``train_step_over_plain``: our step's time over the plain loop's, half of the steps with tokens
  that learn and half with frozen ones, as ``millsight generate train`` does by default.
- ``learning_step_over_plain``, ``frozen_step_over_plain``: the two halves.

The plain loop is what diffusers' own training examples do: encode the pictures and the prompts,
noise, predict, min-SNR loss, gradients, clip, AdamW. Ours is Lightning's whole loop with its data
loader. Each number is the median over rounds of a round's ratio; the two take turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from lightning.pytorch.callbacks import Callback

from millsight.generators.diffusion.base import BaseModel
from millsight.generators.diffusion.pipelines import load_pipeline
from millsight.generators.diffusion.training.config import AdaptationConfig
from millsight.generators.diffusion.training.crops import Crop
from millsight.generators.diffusion.training.latents import LatentData, encode_crops
from millsight.generators.diffusion.training.losses import snr_weights
from millsight.generators.diffusion.training.module import AdaptationModule
from millsight.generators.diffusion.training.tokens import ClassWords, adapt, speak_of
from millsight.platform.executors.training import Training
from millsight.platform.training import Hardware, fit, trainer_options

LABELS = ("scratch", "rolled-in_scale")
# Steps of a half round, and those before the clock starts.
STEPS, WARM = 6, 2


def measure_training(base: BaseModel, *, batch: int, rounds: int, device: str) -> dict[str, Any]:
    """Return the ratios, the seconds behind them and what they were measured on."""
    config = AdaptationConfig(steps=2 * STEPS, check_every=2 * STEPS, batch_size=batch, min_snr=5.0)
    words = speak_of(LABELS, config)
    ours = our_steps(base, words, config, device)
    plain = plain_steps(base, words, config, device)
    pairs = [both(ours, plain, number) for number in range(rounds + 1)][1:]
    learning, frozen = (
        [own[half] / other for own, other in pairs] for half in ("learning", "frozen")
    )
    whole = [(a + b) / 2 for a, b in zip(learning, frozen, strict=True)]
    return {
        "train_step_over_plain": round(statistics.median(whole), 4),
        "learning_step_over_plain": round(statistics.median(learning), 4),
        "frozen_step_over_plain": round(statistics.median(frozen), 4),
        "plain_step_seconds": round(statistics.median(other for _, other in pairs), 4),
        "batch": batch,
        "side": base.side,
        "rounds": rounds,
        "device": device,
    }


def both(
    ours: Callable[[], dict[str, float]], plain: Callable[[], float], number: int
) -> tuple[dict[str, float], float]:
    """Run one round, in turning order."""
    if number % 2:
        own = ours()
        return own, plain()
    other = plain()
    return ours(), other


class StepClock(Callback):
    """Notes when every step has ended on the device."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.ends.append(finished())

    def seconds(self, steps: range) -> float:
        """Return the mean time of some steps, the warm-up left out."""
        first, last = steps.start + WARM - 1, steps.stop - 1
        return (self.ends[last] - self.ends[first]) / (last - first)


def our_steps(
    base: BaseModel, words: Sequence[ClassWords], config: AdaptationConfig, device: str
) -> Callable[[], dict[str, float]]:
    """Return what trains a round by Lightning; it gives the seconds of a step of either half."""
    pipeline = load_pipeline(base)
    pipeline.vae.to(device)
    latents = encode_crops(pipeline.vae, crops(base.side), config, lambda *_: None)
    module = AdaptationModule(pipeline.to("cpu"), words, config, base.side)
    options = trainer_options(
        epochs=1, clip_norm=config.clip_norm, accumulate=1, precision=config.precision
    )

    def run() -> dict[str, float]:
        clock = StepClock()
        training = Training(module, LatentData(latents, LABELS, config), (clock,), options)
        with tempfile.TemporaryDirectory() as folder:
            accelerator = "cpu" if device == "cpu" else "gpu"
            hardware = Hardware(accelerator, progress_bar=False)
            fit(training, str(Path(folder) / "checkpoint.pt"), hardware)
        return {
            "learning": clock.seconds(range(STEPS)),
            "frozen": clock.seconds(range(STEPS, 2 * STEPS)),
        }

    return run


def plain_steps(
    base: BaseModel, words: Sequence[ClassWords], config: AdaptationConfig, device: str
) -> Callable[[], float]:
    """Return what trains a round as diffusers' examples do; it gives the seconds of a step."""
    pipeline = load_pipeline(base)
    adapt(pipeline, words, config)
    pipeline.to(device)
    scheduler: Any = DDPMScheduler.from_config(pipeline.scheduler.config)  # type: ignore[no-untyped-call]
    weights = snr_weights(scheduler.alphas_cumprod, "epsilon", config.min_snr).to(device)
    parts = (pipeline.unet, pipeline.text_encoder)
    learned = [own for part in parts for own in part.parameters() if own.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    rng = np.random.default_rng(0)
    shape = config.batch_size, 3, base.side, base.side
    pixels = torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32)).to(device)
    sentences = [words[at % len(words)].sentence for at in range(config.batch_size)]
    tokens = pipeline.tokenizer(sentences, padding="max_length", return_tensors="pt").input_ids

    def step() -> None:
        with torch.no_grad():
            latents = pipeline.vae.encode(pixels).latent_dist.sample()
            latents *= pipeline.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        steps = torch.randint(len(weights), (len(latents),), device=device)
        noisy = scheduler.add_noise(latents, noise, steps)
        text = pipeline.text_encoder(tokens.to(device))[0]
        predicted = pipeline.unet(noisy, steps, encoder_hidden_states=text).sample
        error = F.mse_loss(predicted, noise, reduction="none").mean(dim=(1, 2, 3))
        loss = (error * weights[steps]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, config.clip_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss.item()

    def run() -> float:
        for _ in range(WARM):
            step()
        start = finished()
        for _ in range(STEPS):
            step()
        return (finished() - start) / STEPS

    return run


def crops(side: int, count: int = 4) -> list[Crop]:
    """Make crops of noise."""
    rng = np.random.default_rng(0)
    mask = np.zeros((side, side), np.bool_)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    return [
        Crop(rng.integers(0, 256, (side, side, 3), np.uint8), mask, label, f"{label}-{number}")
        for label in LABELS
        for number in range(count)
    ]


def finished() -> float:
    """Return the time when the device has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
