"""Checkpoints chosen on validation: what each generates is held against real pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from safetensors.torch import load, save

from millsight.generators.diffusion.training.judging import (
    Picture,
    Place,
    Quality,
    Sampling,
    compare,
    is_better,
    sample_class,
    summarise,
)
from millsight.generators.diffusion.training.module import AdaptationModule
from millsight.generators.diffusion.training.prompts import take
from millsight.generators.quality.features import FeatureNet
from millsight.platform import storage
from millsight.platform.training import Log
from millsight.platform.weights import LoadedWeights


@dataclass(frozen=True)
class References:
    """Real pictures that checkpoints are held against.

    Attributes:
        network: In whose features.
        learned: ``(M, D)`` features of the training crops, by class.
        validated: ``(K, D)`` features of the validation crops, by class.
        grey: Whether the real pictures have no colour.
        places: By class, validation crops and where an inpainting model changes them; empty for
            other models.
    """

    network: LoadedWeights
    learned: Mapping[str, NDArray[np.float32]]
    validated: Mapping[str, NDArray[np.float32]]
    grey: bool
    places: Mapping[str, Sequence[Place]] = field(default_factory=dict)


class CheckpointSelection(Callback):
    """Generates pictures of every class after every epoch, and keeps the best weights.

    Args:
        references: What pictures are held against.
        address: Of the file that gets the best weights.
        log: Told of every judgement.
    """

    def __init__(self, references: References, address: str, log: Log) -> None:
        self._references, self._address, self._log = references, address, log
        self._network: FeatureNet | None = None
        self.best: Quality | None = None
        self.best_step = 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge, and keep the weights if they are the best so far."""
        if not trainer.is_global_zero:
            return
        module = cast(AdaptationModule, pl_module)
        found = summarise(self.judge(module))
        if is_better(found, self.best, module.config.least_distance):
            self.best, self.best_step = found, trainer.global_step
            state = {name: own.cpu().contiguous() for name, own in module.state_dict().items()}
            storage.write_bytes(self._address, save(state))
        named = {"val/kid": found.kid, "val/nearest_distance": found.distance}
        self._log(named, trainer.global_step)

    def judge(self, module: AdaptationModule) -> dict[str, Quality]:
        """Compare what the module generates with the real pictures, by class."""
        if self._network is None:
            self._network = FeatureNet(self._references.network, str(module.device))
        return {
            label: compare(
                self._network(pictures),
                self._references.learned[label],
                self._references.validated[label],
            )
            for label, pictures in self.generate(module).items()
        }

    def generate(self, module: AdaptationModule) -> dict[str, list[Picture]]:
        """Generate the pictures that a checkpoint is judged by; always from the same noise."""
        config, references = module.config, self._references
        with torch.no_grad():
            states = module.text_states()
        sampling = Sampling(
            module.side, config.judged_steps, config.guidance, references.grey, config.batch_size
        )
        first, bare = config.seed * len(module.words), len(module.words)
        return {
            item.label: sample_class(
                module.pipeline,
                take(states, torch.tensor([bare, at])),
                range((first + at) * config.judged, (first + at + 1) * config.judged),
                sampling,
                references.places.get(item.label, ()),
            )
            for at, item in enumerate(module.words)
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"best": self.best and asdict(self.best), "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        best = state_dict["best"]
        self.best = best and Quality(**best)
        self.best_step = state_dict["best_step"]

    def restore(self, module: AdaptationModule) -> None:
        """Load the best weights."""
        module.load_state_dict(load(storage.read_bytes(self._address)), strict=False)
