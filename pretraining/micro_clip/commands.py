"""``millsight pretrain clip``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from millsight.platform import artifacts
from millsight.platform.artifacts import Draft, drafting, find_artifact, open_artifact
from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, Tracker, TrackingConfig, track
from millsight.pretraining.micro_clip.config import MicroClipConfig

if TYPE_CHECKING:
    from millsight.pretraining.micro_clip.dataset import CaptionedPictures

KIND = "clip"
SCHEMA_VERSION = 2


@dataclass(kw_only=True)
class PretrainClipConfig(OutputConfig):
    """Settings of ``millsight pretrain clip``.

    Attributes:
        data: Artifact of ``millsight generate procedural``.
        training: What decides the weights.
        tracking: Who is told.
        threads: CPU threads.
    """

    data: str
    training: MicroClipConfig = field(default_factory=MicroClipConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    threads: int = 2


def pretrain(config: PretrainClipConfig) -> Outcome:
    """Train the micro CLIP on captioned pictures; goes on after the last whole epoch."""
    from millsight.platform.weights import load_weights

    source = open_artifact(config.data, kind="procedural")
    settings = config.training
    inputs = {"data": source.as_input()}
    weights = {"teacher": load_weights(settings.teacher).sha256}
    recipe = Recipe(KIND, SCHEMA_VERSION, asdict(settings), inputs, weights)
    path = config.path(recipe)
    if done := find_artifact(path, recipe):
        print(f"Trained already: {done.path}")
        return Outcome(artifact=done)
    info = RunInfo(name=KIND, fingerprint=recipe.fingerprint, config=asdict(settings))
    with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
        metrics = _train(config, draft, tracker, str(source.manifest["config"]))
        artifact = draft.commit(metrics)
        tracker.summary(metrics)
    print(json.dumps(metrics, indent=2))
    print(artifact.path)
    return Outcome(artifact=artifact)


def _check(
    learned: CaptionedPictures, held_out: CaptionedPictures, settings: MicroClipConfig
) -> None:
    if len(learned) < settings.batch_size:
        raise UserError(
            f"--training.batch_size {settings.batch_size}: --data has only {len(learned)} pictures "
            "to learn from; lower it, or make more with `millsight generate procedural --count`."
        )
    for name, part in (("learn from", learned), ("judge by", held_out)):
        good = [label == "good" for _, label in part.classes]
        if all(good) or not any(good):
            raise UserError(
                f"--data: of the {len(part)} pictures to {name} (--training.holdout "
                f"{settings.holdout}), some must be good and some defective; make more."
            )


def _train(
    config: PretrainClipConfig, draft: Draft, tracker: Tracker, data_recipe: str
) -> dict[str, float]:
    import torch
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from millsight.pretraining.micro_clip import export
    from millsight.pretraining.micro_clip.dataset import read_captioned, split_holdout
    from millsight.pretraining.micro_clip.evaluate import evaluate
    from millsight.pretraining.micro_clip.teacher import Teacher
    from millsight.pretraining.micro_clip.train import Training

    torch.set_num_threads(config.threads)
    settings, network = config.training, config.training.network
    grid = network.image_size // network.patch_size
    data = read_captioned(Path(config.data), size=network.image_size, grid=grid)
    learned, held_out = split_holdout(data, settings.holdout)
    _check(learned, held_out, settings)
    teacher = Teacher(settings.teacher, grid)
    texts = [sentence for captions in data.captions for sentence in captions]
    training = Training.start(settings, texts, teacher.channels)
    checkpoint = Path(draft.file(artifacts.CHECKPOINT))
    if checkpoint.exists():
        training.restore(checkpoint)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        dense = None
        if training.head is not None and training.epoch < settings.epochs:
            bar = progress.add_task("Teacher's features", total=len(learned))
            dense = teacher.all_features(
                learned.pictures, lambda done: progress.update(bar, completed=done)
            )
        steps = settings.epochs * (len(learned) // settings.batch_size)
        bar = progress.add_task("Training steps", total=steps)

        def log(losses: Mapping[str, float], step: int) -> None:
            progress.update(bar, completed=step)
            tracker.log(losses, step)

        while training.epoch < settings.epochs:
            training.run_epoch(learned, dense, log)
            training.save(str(checkpoint))
            tracker.log(evaluate(training.model, settings, held_out), step=None)
    metrics = evaluate(training.model, settings, held_out)
    export.export(training.model, settings, draft.path)
    facts = {
        "command": "millsight pretrain clip --data DATA",
        "config": asdict(settings),
        "data": f"`millsight generate procedural` with {data_recipe}; {len(learned)} pictures for "
        f"training, {len(held_out)} held out",
        "teacher_sha256": teacher.sha256,
        "parameters": export.count_parameters(training.model),
        "metrics": metrics,
    }
    export.write_card(Path(draft.file(export.CARD_FILE)), facts)
    return metrics
