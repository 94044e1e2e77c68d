"""The diffusion engine's sampler and training step, beside diffusers' own.

``python -m benchmarks.generation --json`` prints, from one run, all on the same model, pictures,
prompt, strength, steps, guidance and scheduler:

- ``speedup_over_single``: diffusers' ``StableDiffusionImg2ImgPipeline`` called for one picture at a
  time, its time over the sampler's.
- ``speedup_over_batched``: the same, called for batches.
- ``share_of_bare_batch``: the time of nothing but the networks on the same batches (one encoding,
  the U-Net once per step, one decoding, without text, schedule, random numbers and pictures) over
  the sampler's; 1 is the most there can be.

- ``train_step_over_plain``: see ``generation_training.py``.

Each is the median over rounds of a round's ratio; the contestants take turns. By default the model
is a small one with random weights in Stable Diffusion's layout; ``--base FOLDER`` names another.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from numpy.typing import NDArray
from PIL import Image

from benchmarks.generation_training import measure_training
from benchmarks.kead import alternate, ratio
from millsight.generators.diffusion.autoencoder import decode, encode, to_pixels
from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.denoising import begin, fast_scheduler
from millsight.generators.diffusion.sampler import DTYPES, Drawing, Patch, Sampler
from millsight.generators.diffusion.untrained import Layout, build_untrained

TRAINED_AT_ONCE = 4
TRAINING = ("train_step_over_plain", "learning_step_over_plain", "frozen_step_over_plain")
PROMPT = "a photo of a metal surface with scratches"
SMALL = Layout(
    unet_widths=(32, 64, 128, 128),
    vae_widths=(16, 32, 32, 32),
    text_width=64,
    side=128,
    groups=8,
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--base", help="a Stable Diffusion folder; default: small and random")
    parser.add_argument("--pictures", type=int, default=16, help="per round")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--strength", type=float, default=0.6)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--precision", choices=list(DTYPES), default="32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with base_folder(arguments.base) as folder:
        result = measure(folder, arguments)
        base = open_base(folder, allow_non_commercial=True)
        trained = measure_training(
            base, batch=TRAINED_AT_ONCE, rounds=arguments.rounds, device=arguments.device
        )
    result |= {name: trained[name] for name in TRAINING}
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:28} {value}")


@contextmanager
def base_folder(given: str | None) -> Iterator[str]:
    """Lend the folder of the model to measure."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        build_untrained(SMALL).save_pretrained(folder)
        yield folder


def measure(folder: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the ratios, the rates behind them and what they were measured on."""
    base = open_base(folder, allow_non_commercial=True)
    sampler = Sampler.load(
        base,
        device=arguments.device,
        precision=arguments.precision,
        batch_size=arguments.batch,
    )
    rng = np.random.default_rng(0)
    size = arguments.pictures, sampler.side, sampler.side, 3
    pictures = rng.integers(0, 256, size, dtype=np.uint8)
    plain = plain_pipeline(sampler)
    contestants = {
        "sampler": lambda: ours(sampler, pictures, arguments),
        "single": lambda: theirs(plain, pictures, 1, arguments),
        "batched": lambda: theirs(plain, pictures, arguments.batch, arguments),
        "bare": lambda: bare(sampler, pictures, arguments),
    }
    waiting = {name: waited(run, arguments.device) for name, run in contestants.items()}
    seconds = alternate(waiting, arguments.rounds)
    rates = {
        f"{name}_pictures_per_second": round(arguments.pictures / statistics.median(times), 3)
        for name, times in seconds.items()
    }
    given = ("pictures", "batch", "steps", "strength", "guidance", "rounds", "threads")
    return {
        "speedup_over_single": round(ratio(seconds, "single", "sampler"), 3),
        "speedup_over_batched": round(ratio(seconds, "batched", "sampler"), 3),
        "share_of_bare_batch": round(ratio(seconds, "bare", "sampler"), 4),
        **rates,
        "base": arguments.base or "random",
        "side": sampler.side,
        "device": arguments.device,
        "precision": arguments.precision,
        **{name: getattr(arguments, name) for name in given},
    }


def waited(run: Callable[[], object], device: str) -> Callable[[], None]:
    """Let a contestant return when the device has done its work."""

    def whole() -> None:
        run()
        if device != "cpu":
            torch.cuda.synchronize()

    return whole


def plain_pipeline(sampler: Sampler) -> Any:
    """Put the sampler's own networks into diffusers' pipeline, with the same scheduler."""
    parts = {**sampler.pipeline.components, "feature_extractor": None, "image_encoder": None}
    parts["scheduler"] = fast_scheduler(sampler.pipeline.scheduler.config)
    pipeline = StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ours(sampler: Sampler, pictures: NDArray[np.uint8], arguments: argparse.Namespace) -> None:
    """Fill all pictures with the sampler."""
    drawing = Drawing(PROMPT, arguments.steps, arguments.strength, arguments.guidance)
    patches = [Patch(seed, picture) for seed, picture in enumerate(pictures)]
    assert len(list(sampler.fill(patches, drawing))) == len(pictures)


def theirs(
    pipeline: Any, pictures: NDArray[np.uint8], batch: int, arguments: argparse.Namespace
) -> None:
    """Call diffusers' pipeline for every ``batch`` pictures."""
    for first in range(0, len(pictures), batch):
        part = pictures[first : first + batch]
        pipeline(
            [PROMPT] * len(part),
            image=[Image.fromarray(picture) for picture in part],
            strength=arguments.strength,
            num_inference_steps=arguments.steps,
            guidance_scale=arguments.guidance,
            generator=[torch.Generator().manual_seed(first + at) for at in range(len(part))],
        )


@torch.inference_mode()
def bare(sampler: Sampler, pictures: NDArray[np.uint8], arguments: argparse.Namespace) -> None:
    """Run the networks on the same batches as often, and nothing else."""
    vae, unet = sampler.pipeline.vae, sampler.pipeline.unet
    timesteps = begin(sampler.scheduler, arguments.steps, arguments.strength, unet.device)
    rows = sampler.batch_size * (2 if arguments.guidance > 1 else 1)
    width = unet.config.cross_attention_dim
    text = torch.zeros(rows, 77, width, device=unet.device, dtype=unet.dtype)
    for first in range(0, len(pictures), sampler.batch_size):
        part = list(pictures[first : first + sampler.batch_size])
        full = part + part[-1:] * (sampler.batch_size - len(part))
        latents = encode(vae, to_pixels(full, vae)).to(unet.dtype)
        given = torch.cat([latents] * (rows // sampler.batch_size))
        for timestep in timesteps:
            unet(given, timestep, encoder_hidden_states=text, return_dict=False)
        decode(vae, latents)


if __name__ == "__main__":
    main()
