"""One run from pictures to an artifact: train, choose thresholds, predict, export."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from millsight.platform import storage
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.errors import UserError
from millsight.platform.executors.training import Training
from millsight.platform.progress import progress_bar
from millsight.platform.runs import write_quarantine
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware, MetricLog, train
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.downstream.extra import check_label, tell
from millsight.pretraining.downstream.multitask.commands import FinetuneMultitaskConfig
from millsight.pretraining.downstream.multitask.data import (
    Kept,
    MaskedPictures,
    MultitaskData,
    read_pictures,
)
from millsight.pretraining.downstream.multitask.export import export_model
from millsight.pretraining.downstream.multitask.gradients import (
    GradientLog,
    choose_probe,
    log_nothing,
    to_table,
)
from millsight.pretraining.downstream.multitask.model import (
    save_model,
    start_model,
)
from millsight.pretraining.downstream.multitask.module import CLIP_NORM, MultitaskModule
from millsight.pretraining.downstream.multitask.outputs import write_predictions
from millsight.pretraining.downstream.multitask.predict import predict
from millsight.pretraining.downstream.multitask.threshold import (
    check_labels,
    choose_thresholds,
)
from millsight.pretraining.downstream.parts import Parts

GRADIENTS_FILE = "gradients.parquet"
THRESHOLDS_FILE = "thresholds.json"
FORMATS = {"torch_export": "model.pt2", "onnx": "model.onnx"}
COMPARED = 4


def make(
    config: FinetuneMultitaskConfig,
    parts: Parts,
    loaded: LoadedWeights,
    draft: Draft,
    tracker: Tracker,
    *,
    extra: Sequence[Catalog] = (),
    kept: Kept | None = None,
) -> dict[str, Any]:
    """Train, choose, predict, export; return the artifact's metrics.

    Args:
        config: Settings.
        parts: Which pictures.
        loaded: The encoder's weights.
        draft: Artifact to write into.
        tracker: Who is told.
        extra: Synthetic pictures.
        kept: See ``read_pictures``.

    Raises:
        UserError: If too little is known about the training or validation pictures.
    """
    torch.set_num_threads(config.threads)
    settings = config.training
    catalogs = (parts.train, parts.val, parts.predicted)
    (learned, validated, predicted), broken = _read(catalogs, settings.size, kept)
    learned = learned.known()
    _check(learned, config)
    check_labels(validated.targets[validated.target_known])
    synthetic = _read_extra(extra, learned, settings.size)
    model, account = start_model(settings, loaded)
    print(f"Encoder {settings.encoder}: {account}")
    probe = choose_probe(learned, settings.gradient_pictures)
    gradients = GradientLog(probe, settings.sample_weight, tracker.log)
    module = MultitaskModule(model, settings)
    data = MultitaskData(learned, validated, settings, synthetic, share=config.extra_share)
    options = {"max_epochs": settings.epochs, "gradient_clip_val": CLIP_NORM}
    callbacks = (MetricLog(tracker.log), gradients)
    train(
        Training(module, data, callbacks, options),
        config.execution,
        draft,
        tracker.log,
        Hardware(config.accelerator),
        away=[GradientLog(probe, settings.sample_weight, log_nothing)],
    )
    device = Hardware(config.accelerator).device
    thresholds = choose_thresholds(predict(model, validated, settings.batch_size, device))
    predictions = predict(model, predicted, settings.batch_size, device)
    with progress_bar("predicting") as progress:
        stopped = write_predictions(draft, predictions, len(predicted), thresholds, progress)
    save_model(model, draft.path)
    _write_json(draft, THRESHOLDS_FILE, asdict(thresholds))
    write_quarantine(draft, broken)
    storage.write_table(draft.file(GRADIENTS_FILE), to_table(gradients.rows))
    tracker.table("gradients", [asdict(row) for row in gradients.rows])
    compared = validated.batch(range(min(COMPARED, len(validated)))).pictures
    differences = {
        f"{name}_difference": export_model(model, name, draft.file(FORMATS[name]), compared)
        for name in config.formats
    }
    return {
        "seed": settings.seed,
        "pictures_learned": len(learned),
        "synthetic_learned": 0 if synthetic is None else len(synthetic),
        "pictures_validated": len(validated),
        "pictures_predicted": len(predicted),
        "quarantined": len(broken),
        "masks_learned": int(learned.mask_known.sum()),
        "encoder_tensors_loaded": len(account.loaded),
        "encoder_tensors_skipped": len(account.skipped),
        "sample_threshold": thresholds.sample,
        "pixel_threshold": thresholds.pixel,
        "val_sample_f1": thresholds.sample_f1,
        "val_mean_iou": thresholds.mean_iou,
        "predicted_defective": stopped,
    } | differences


def _read(
    catalogs: tuple[Catalog, ...], size: tuple[int, int], kept: Kept | None
) -> tuple[list[MaskedPictures], list[dict[str, Any]]]:
    broken = [asdict(item) for item in catalogs[0].quarantined]
    read = []
    for catalog in catalogs:
        with progress_bar("reading pictures") as progress:
            pictures, set_aside = read_pictures(catalog.samples, size, progress, kept)
        read.append(pictures)
        broken += [asdict(item) for item in set_aside]
    return read, broken


def _read_extra(
    catalogs: Sequence[Catalog], learned: MaskedPictures, size: tuple[int, int]
) -> MaskedPictures | None:
    """Read synthetic pictures; ``None`` if there is none.

    Raises:
        UserError: If one shows a class that no labelled picture has, or cannot be read.
    """
    samples = [sample for catalog in catalogs for sample in catalog]
    if not samples:
        return None
    real = Counter(name for classes in learned.classes() for name in classes)
    for sample in samples:
        check_label(sample.label, real, sample)
    with progress_bar("reading synthetic pictures") as progress:
        pictures, broken = read_pictures(samples, size, progress)
    if broken:
        raise UserError(f"--extra: {broken[0].uri}: {broken[0].reason}; make the set anew.")
    tell(real, Counter(name for classes in pictures.classes() for name in classes))
    return pictures


def _check(learned: MaskedPictures, config: FinetuneMultitaskConfig) -> None:
    settings = config.training
    if len(learned) < settings.batch_size:
        raise UserError(
            f"--training.batch_size {settings.batch_size}: only {len(learned)} training pictures "
            "have a mask or a label; lower it, or bring more."
        )
    if not (learned.areas > 0).any():
        raise UserError(
            f"--data {config.data}: not one training picture has a mask with a defect in it, and "
            "masks are learnt from masks; name a set with masks (millsight data inspect)."
        )
    known = learned.targets[learned.target_known]
    if settings.mode != "pixel" and known.all():
        raise UserError(
            f"--data {config.data}: no training picture is known to be good, so no decision can be "
            "learnt; add good pictures, or use --training.mode pixel."
        )


def _write_json(draft: Draft, name: str, content: Any) -> None:
    storage.write_bytes(draft.file(name), (json.dumps(content, indent=2) + "\n").encode())
