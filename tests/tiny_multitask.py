"""A multi-task network in miniature."""

from __future__ import annotations

from dataclasses import replace

from millsight.platform.executors.training import Training
from millsight.platform.training import Hardware, fit
from millsight.platform.weights import load_weights
from millsight.pretraining.downstream.multitask.config import MultitaskConfig
from millsight.pretraining.downstream.multitask.data import MultitaskData
from millsight.pretraining.downstream.multitask.model import MultitaskModel, start_model
from millsight.pretraining.downstream.multitask.module import CLIP_NORM, MultitaskModule

SETTINGS = MultitaskConfig(
    encoder="random:timm:test_efficientnet?seed=0",
    image_size=64,
    decoder_channels=[32, 16, 16, 8, 8],
    epochs=2,
    batch_size=4,
    learning_rate=3e-3,
    gradient_pictures=4,
    holdout=0.4,
)
CPU = Hardware("cpu", progress_bar=False)


def a_model(mode="gated", **changes) -> MultitaskModel:
    settings = replace(SETTINGS, mode=mode, **changes)
    return start_model(settings, load_weights(settings.encoder))[0]


def train(settings, pictures, checkpoint, callbacks=()) -> MultitaskModel:
    model, _ = start_model(settings, load_weights(settings.encoder))
    data = MultitaskData(pictures, pictures, settings)
    options = {"max_epochs": settings.epochs, "gradient_clip_val": CLIP_NORM}
    training = Training(MultitaskModule(model, settings), data, tuple(callbacks), options)
    fit(training, str(checkpoint), CPU)
    return model
