"""One run from labelled pictures to an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from millsight.generators.diffusion.autoencoder import round_trip_psnr
from millsight.generators.diffusion.pipelines import load_pipeline
from millsight.generators.diffusion.training.commands import GenerateTrainConfig, Sources
from millsight.generators.diffusion.training.config import AdaptationConfig
from millsight.generators.diffusion.training.crops import Crop, all_grey, cut_crops, grown
from millsight.generators.diffusion.training.export import export_adapter
from millsight.generators.diffusion.training.latents import LatentData, encode_crops
from millsight.generators.diffusion.training.module import AdaptationModule
from millsight.generators.diffusion.training.selection import CheckpointSelection, References
from millsight.generators.diffusion.training.tokens import speak_of
from millsight.generators.quality.features import FeatureNet
from millsight.platform import artifacts, storage
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.executors.training import Training
from millsight.platform.progress import progress_bar
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware, MetricLog, train, trainer_options


def make(
    config: GenerateTrainConfig, sources: Sources, draft: Draft, tracker: Tracker
) -> dict[str, Any]:
    """Train and export; return the artifact's metrics.

    Raises:
        UserError: If a picture cannot be read, the autoencoder is poor, or the loss is not finite.
    """
    torch.set_num_threads(config.threads)
    settings = config.training
    hardware = Hardware(config.accelerator)
    side = settings.image_size or sources.base.side
    learned, validated = (
        _crops(samples, sources.labels, side, settings)
        for samples in (sources.learned, sources.validated)
    )
    pipeline = load_pipeline(sources.base)
    pipeline.vae.to(hardware.device)
    psnr = round_trip_psnr(pipeline.vae, [crop.picture for crop in learned])
    print(f"The autoencoder returns {len(learned)} training crops with {psnr:.1f} dB PSNR.")
    check_psnr(psnr, settings.least_psnr, sources.base.source)
    with progress_bar("encoding crops") as progress:
        latents = encode_crops(
            pipeline.vae, learned, settings, progress, inpainting=sources.base.inpainting
        )
    module = AdaptationModule(
        pipeline.to("cpu"), speak_of(sources.labels, settings), settings, side
    )
    references = _references(sources, learned, validated, settings.dilation, hardware.device)
    best = storage.absolute(draft.file(artifacts.BEST))
    selection = CheckpointSelection(references, best, tracker.log)
    training = Training(
        module,
        LatentData(latents, sources.labels, settings),
        (MetricLog(tracker.log), selection),
        trainer_options(
            epochs=settings.steps // settings.check_every,
            clip_norm=settings.clip_norm,
            accumulate=1,
            precision=settings.precision,
        ),
    )
    away = (CheckpointSelection(references, best, log_nothing),)
    train(training, config.execution, draft, tracker.log, hardware, away=away)
    selection.restore(module)
    if selection.best is None:
        raise RuntimeError("the training ended without one judged checkpoint")
    return {
        "classes": len(sources.labels),
        "pictures_learned": len(sources.learned),
        "crops_learned": len(learned),
        "pictures_validated": len(sources.validated),
        "crops_validated": len(validated),
        "vae_psnr": psnr,
        "best_step": selection.best_step,
        "val_kid": selection.best.kid,
        "val_nearest_distance": selection.best.distance,
        "judged_per_class": settings.judged,
        "features": f"{sources.features.source} ({sources.features.sha256[:12]})",
        "memorised": selection.best.distance < settings.least_distance,
    } | export_adapter(module, sources.base, draft)


def log_nothing(metrics: Any, step: int) -> None:
    """Stand in for a tracker, on workers that reach none."""


def _crops(
    samples: Sequence[Sample], labels: Sequence[str], side: int, config: AdaptationConfig
) -> list[Crop]:
    with progress_bar("cutting out defects") as progress:
        return cut_crops(
            samples, labels, side, context=config.context, most=config.crops, progress=progress
        )


def _references(
    sources: Sources,
    learned: Sequence[Crop],
    validated: Sequence[Crop],
    dilation: float,
    device: str,
) -> References:
    network = FeatureNet(sources.features, device)
    places = {
        label: [(crop.picture, grown(crop, dilation)) for crop in validated if crop.label == label]
        for label in sources.labels
    }
    return References(
        sources.features,
        _features(network, sources.labels, learned),
        _features(network, sources.labels, validated),
        all_grey(learned),
        places if sources.base.inpainting else {},
    )


def _features(
    network: FeatureNet, labels: Sequence[str], crops: Sequence[Crop]
) -> dict[str, NDArray[np.float32]]:
    return {
        label: network([crop.picture for crop in crops if crop.label == label]) for label in labels
    }


def check_psnr(psnr: float, least: float, source: str) -> None:
    """Refuse an autoencoder that loses too much.

    Raises:
        UserError: If the PSNR is below ``least``, or there is none.
    """
    if np.isnan(psnr):
        raise UserError(
            f"--training.base {source}: its autoencoder gives no finite pictures, so that its "
            "quality cannot be measured; its weights are damaged, or made for half precision with "
            "another autoencoder beside them."
        )
    if psnr < least:
        raise UserError(
            f"--training.base {source}: its autoencoder returns these pictures with {psnr:.1f} dB "
            f"PSNR, and at least {least:g} dB are asked for: fine defects would be lost before "
            "anything is learned. Choose a base model with a better autoencoder, a larger "
            "--training.image_size, a smaller --training.context, or lower --training.least_psnr."
        )
