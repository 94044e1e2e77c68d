"""One run from pictures to an artifact: train, choose thresholds, predict, export."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import torch

from millsight.platform import artifacts, storage
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.splits import split as split_groups
from millsight.platform.errors import UserError
from millsight.platform.runs import QUARANTINE_FILE
from millsight.platform.tracking import Tracker
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.downstream.multitask.commands import FinetuneMultitaskConfig
from millsight.pretraining.downstream.multitask.data import (
    MaskedPictures,
    MultitaskData,
    read_pictures,
)
from millsight.pretraining.downstream.multitask.export import export_model
from millsight.pretraining.downstream.multitask.fit import Hardware, MetricLog, fit
from millsight.pretraining.downstream.multitask.gradients import (
    GradientLog,
    choose_probe,
    to_table,
)
from millsight.pretraining.downstream.multitask.model import (
    save_model,
    start_model,
)
from millsight.pretraining.downstream.multitask.module import MultitaskModule
from millsight.pretraining.downstream.multitask.predict import Prediction, encode_mask, predict
from millsight.pretraining.downstream.multitask.threshold import (
    Thresholds,
    check_labels,
    choose_thresholds,
)

PREDICTIONS_FILE = "predictions.parquet"
SCORES_FILE = "predictions.csv"
GRADIENTS_FILE = "gradients.parquet"
THRESHOLDS_FILE = "thresholds.json"
FORMATS = {"torch_export": "model.pt2", "onnx": "model.onnx"}
COMPARED = 4

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("decision", pa.bool_(), nullable=False),
        pa.field("mask", pa.string(), nullable=False),
    ],
    metadata={"millsight.schema": "mask_predictions", "millsight.schema_version": "1"},
)


@dataclass(frozen=True)
class Parts:
    """The pictures to learn from, to choose by and to predict, apart from each other."""

    train: Catalog
    val: Catalog
    predicted: Catalog


def split_catalog(catalog: Catalog, config: FinetuneMultitaskConfig) -> Parts:
    """Divide a catalog; without a ``val`` split, ``--training.holdout`` of ``train`` is cut off.

    Raises:
        UserError: If a part is empty.
    """
    train, val = catalog.where(split="train"), catalog.where(split="val")
    if not train.samples:
        raise UserError(
            f"--data {config.data}: no picture is in split 'train'; divide it with "
            "`millsight data split`."
        )
    if not val.samples:
        held = config.training.holdout
        shares = {"train": 1 - held, "val": held}
        divided = split_groups(train, shares, config.training.seed, near=False)
        train, val = divided.where(split="train"), divided.where(split="val")
    predicted = catalog.where(split=config.split)
    if not predicted.samples:
        raise UserError(f"--split {config.split}: no picture of {config.data} is in it.")
    return Parts(train, val, predicted)


def make(
    config: FinetuneMultitaskConfig,
    parts: Parts,
    loaded: LoadedWeights,
    draft: Draft,
    tracker: Tracker,
) -> dict[str, Any]:
    """Train, choose, predict, export; return the artifact's metrics.

    Raises:
        UserError: If too little is known about the training or validation pictures.
    """
    torch.set_num_threads(config.threads)
    settings = config.training
    catalogs = (parts.train, parts.val, parts.predicted)
    (learned, validated, predicted), broken = _read(catalogs, settings.image_size)
    learned = learned.known()
    _check(learned, config)
    check_labels(validated.targets[validated.target_known])
    model, account = start_model(settings, loaded)
    print(f"Encoder {settings.encoder}: {account}")
    probe = choose_probe(learned, settings.gradient_pictures)
    gradients = GradientLog(probe, settings.sample_weight, tracker.log)
    fit(
        MultitaskModule(model, settings),
        MultitaskData(learned, validated, settings),
        draft.file(artifacts.CHECKPOINT),
        (MetricLog(tracker.log), gradients),
        Hardware(config.accelerator),
    )
    device = "cuda" if config.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    thresholds = choose_thresholds(predict(model, validated, settings.batch_size, device))
    predictions = predict(model, predicted, settings.batch_size, device)
    stopped = _write_predictions(draft, predictions, len(predicted), thresholds)
    save_model(model, draft.path)
    _write_json(draft, THRESHOLDS_FILE, asdict(thresholds))
    _write_json(draft, QUARANTINE_FILE, broken)
    storage.write_table(draft.file(GRADIENTS_FILE), to_table(gradients.rows))
    tracker.table("gradients", [asdict(row) for row in gradients.rows])
    compared = validated.batch(range(min(COMPARED, len(validated)))).pictures
    differences = {
        f"{name}_difference": export_model(model, name, draft.file(FORMATS[name]), compared)
        for name in config.formats
    }
    return {
        "pictures_learned": len(learned),
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
    catalogs: tuple[Catalog, ...], size: int
) -> tuple[list[MaskedPictures], list[dict[str, Any]]]:
    broken = [asdict(item) for item in catalogs[0].quarantined]
    read = []
    for catalog in catalogs:
        with _progress("reading pictures") as progress:
            pictures, set_aside = read_pictures(catalog.samples, size, progress)
        read.append(pictures)
        broken += [asdict(item) for item in set_aside]
    return read, broken


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


def _write_predictions(
    draft: Draft,
    predictions: Iterator[Prediction],
    total: int,
    thresholds: Thresholds,
) -> int:
    """Write the table and the masks; return how many pictures are called defective."""
    rows: list[Mapping[str, Any]] = []
    with _progress("predicting") as progress:
        for found in predictions:
            name = f"masks/{found.sample.id}.png"
            storage.write_bytes(draft.file(name), encode_mask(found.mask(thresholds.pixel)))
            rows.append(
                {
                    "sample_id": found.sample.id,
                    "uri": found.sample.uri,
                    "score": found.score,
                    "decision": found.score >= thresholds.sample,
                    "mask": name,
                }
            )
            progress(len(rows), total)
    storage.write_bytes(draft.file(SCORES_FILE), _csv(rows))
    storage.write_table(draft.file(PREDICTIONS_FILE), pa.Table.from_pylist(rows, schema=SCHEMA))
    return sum(bool(row["decision"]) for row in rows)


def _csv(rows: list[Mapping[str, Any]]) -> bytes:
    """Return what ``evaluation.results`` and most other tools import, beside the masks."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "score", "decision"))
    writer.writerows((row["uri"], row["score"], int(row["decision"])) for row in rows)
    return text.getvalue().encode()


def _write_json(draft: Draft, name: str, content: Any) -> None:
    storage.write_bytes(draft.file(name), (json.dumps(content, indent=2) + "\n").encode())


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
