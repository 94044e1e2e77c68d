"""From procedural steel to an autoencoder, and from both to a whole pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from millsight.generators.diffusion.micro.autoencoder import (
    AutoencoderModule,
    TrainingItems,
    measure,
)
from millsight.generators.diffusion.micro.card import write_card
from millsight.generators.diffusion.micro.commands import (
    PretrainAutoencoderConfig,
    PretrainDiffusionConfig,
)
from millsight.generators.diffusion.micro.denoiser import (
    CLIP_NORM,
    DenoiserModule,
    DescribedLatents,
    encode,
    tokenize,
)
from millsight.generators.diffusion.micro.pictures import (
    MirroredPictures,
    SteelPictures,
    read_steel,
)
from millsight.generators.diffusion.micro.words import teach_words
from millsight.generators.diffusion.untrained import Layout, build_untrained
from millsight.platform import storage
from millsight.platform.artifacts import Draft
from millsight.platform.executors.training import Training
from millsight.platform.progress import progress_bar
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware, MetricLog, train, trainer_options

VAE = "vae"
PIPELINE = "pipeline"
SHEET = "samples.jpg"
MERGES = 1000
GROUPS = 8
PREDICTION = "v_prediction"
# The sheet: pictures of each sentence, and how they are drawn.
PER_SENTENCE, STEPS, GUIDANCE = 6, 20, 3.0


def make_autoencoder(
    config: PretrainAutoencoderConfig, draft: Draft, tracker: Tracker
) -> dict[str, Any]:
    """Train and save the autoencoder; return the artifact's metrics.

    Raises:
        UserError: If the pictures cannot be read, or the loss is not finite.
    """
    torch.set_num_threads(config.threads)
    settings = config.training
    learned, held_out = _read(config.data, settings.side, settings.holdout)
    layout = Layout(vae_widths=settings.widths, side=settings.side, groups=GROUPS)
    module = AutoencoderModule(build_untrained(layout, settings.seed).vae, settings)
    pictures = MirroredPictures(learned, settings.defects, settings.seed)
    training = Training(
        module,
        TrainingItems(pictures, settings.batch_size, settings.seed),
        (MetricLog(tracker.log),),
        trainer_options(epochs=settings.epochs, clip_norm=CLIP_NORM, accumulate=1, precision="32"),
    )
    train(training, config.execution, draft, tracker.log, Hardware(config.accelerator))
    vae = module.vae.cpu()
    metrics = {"pictures": len(learned), "held_out": len(held_out)} | measure(vae, held_out)
    vae.register_to_config(scaling_factor=1 / metrics["latent_std"])
    vae.save_pretrained(draft.file(VAE), safe_serialization=True)
    return metrics


def make_pipeline(
    config: PretrainDiffusionConfig, draft: Draft, tracker: Tracker
) -> dict[str, Any]:
    """Train U-Net and text encoder, save the pipeline; return the artifact's metrics.

    Raises:
        UserError: If the pictures cannot be read, or the loss is not finite.
    """
    from diffusers import AutoencoderKL

    torch.set_num_threads(config.threads)
    settings = config.training
    vae: Any = AutoencoderKL.from_pretrained(Path(config.autoencoder) / VAE).eval()
    pipeline = _untrained(vae, settings)
    learned, held_out = _read(config.data, vae.config.sample_size, settings.holdout)
    with progress_bar("Encoding pictures") as progress:
        latents = encode(vae, learned, progress)
    sentences = [tokenize(pipeline.tokenizer, own) for own in learned.sentences]
    with progress_bar("Learning words") as progress:
        told = teach_words(
            pipeline.text_encoder,
            sentences,
            [own[0] for own in learned.sentences],
            steps=settings.text_steps,
            seed=settings.seed,
            progress=progress,
        )
    empty = tokenize(pipeline.tokenizer, [""])[0]
    module = DenoiserModule(pipeline, settings)
    described = DescribedLatents(latents, sentences, empty, settings)
    training = Training(
        module,
        TrainingItems(described, settings.batch_size, settings.seed),
        (MetricLog(tracker.log),),
        trainer_options(epochs=settings.epochs, clip_norm=CLIP_NORM, accumulate=1, precision="32"),
    )
    train(training, config.execution, draft, tracker.log, Hardware(config.accelerator))
    module.cpu()
    with progress_bar("Encoding held-out pictures") as progress:
        unseen = encode(vae, held_out, progress)
    plain = tokenize(pipeline.tokenizer, [own[0] for own in held_out.sentences])
    network: Any = module.average.module
    pipeline.unet.load_state_dict(network["unet"].state_dict())
    pipeline.text_encoder.load_state_dict(network["text"].state_dict())
    metrics = {
        "pictures": len(learned),
        "sentences_told": told,
        "held_out_loss": module.held_out_loss(unseen, plain),
        "parameters": {
            name: sum(p.numel() for p in getattr(pipeline, name).parameters())
            for name in ("unet", "text_encoder", "vae")
        },
    }
    _export(pipeline, learned, draft, metrics, config)
    return metrics


def _read(data: str, side: int, holdout: float) -> tuple[SteelPictures, SteelPictures]:
    with progress_bar("Reading pictures") as progress:
        return read_steel(Path(data), side, progress).split(holdout)


def _untrained(vae: Any, settings: Any) -> Any:
    layout = Layout(
        unet_widths=settings.widths,
        vae_widths=tuple(vae.config.block_out_channels),
        text_width=settings.text_width,
        text_layers=settings.text_layers,
        merges=MERGES,
        side=vae.config.sample_size,
        prediction_type=PREDICTION,
        groups=GROUPS,
    )
    pipeline = build_untrained(layout, settings.seed)
    pipeline.register_modules(vae=vae)
    return pipeline


def _export(
    pipeline: Any,
    learned: SteelPictures,
    draft: Draft,
    metrics: dict[str, Any],
    config: PretrainDiffusionConfig,
) -> None:
    """Save as half floats, and draw a sheet with what was saved."""
    folder = Path(draft.file(PIPELINE))
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    pipeline.to(torch.float32)
    sentences = sorted({own[0] for own in learned.sentences})
    _, jpeg = cv2.imencode(".jpg", _sheet(pipeline, sentences))
    storage.write_bytes(draft.file(SHEET), jpeg.tobytes())
    write_card(folder, metrics, config)


def _sheet(pipeline: Any, sentences: list[str]) -> NDArray[np.uint8]:
    """Draw a line of pictures for each sentence; uint8 ``(H, W, 3)``."""
    pipeline.set_progress_bar_config(disable=True)
    lines = []
    for sentence in sentences:
        generators = [torch.Generator().manual_seed(seed) for seed in range(PER_SENTENCE)]
        drawn = pipeline(
            [sentence] * PER_SENTENCE,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=generators,
            output_type="np",
        ).images
        lines.append(np.concatenate((drawn * 255).round().astype(np.uint8), axis=1))
    return np.concatenate(lines)
