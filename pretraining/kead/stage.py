"""KeAD as a stage: what an executor runs over shards of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from millsight.evaluation.anomaly_maps import SCHEMA, AnomalyMap, to_table
from millsight.platform.catalog.pictures import PictureError, open_picture
from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.stages import Stage, StageOutput
from millsight.pretraining.kead.encoders import from_arrays
from millsight.pretraining.kead.kead import CategoryModel, KeAD, PictureScore
from millsight.pretraining.kead.loading import build_encoder
from millsight.pretraining.kead.memory_bank import MemoryBank

ENCODER, TEXT, BANK = "encoder", "text", "bank"


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """Pictures that decoded, ready for the encoder, and those that did not.

    Attributes:
        samples: The pictures.
        sizes: ``(width, height)`` of each as decoded, pixels.
        pixels: float32 (3, h, w) of each.
        quarantined: The others.
    """

    samples: tuple[Sample, ...]
    sizes: tuple[tuple[int, int], ...]
    pixels: tuple[Tensor, ...]
    quarantined: tuple[Quarantined, ...]


class KeADStage(Stage):
    """Anomaly maps of pictures, with encoder, text embeddings and banks shared by a node's workers.

    Args:
        kead: Has learnt every category that will come.
        batch_size: Pictures per forward pass.
    """

    schema = SCHEMA

    def __init__(self, kead: KeAD, batch_size: int = 16) -> None:
        self.batch_size = batch_size
        self._spec = kead.encoder.spec
        self._kead: KeAD | None = kead

    def __getstate__(self) -> dict[str, Any]:
        # Tensors travel through ``weights``, once per node.
        return {**self.__dict__, "_kead": None}

    def weights(self) -> Mapping[str, np.ndarray]:
        """Return the encoder's tensors, and each category's text embeddings and bank."""
        kead = self._ready()
        tensors = {f"{ENCODER}/{k}": tensor for k, tensor in kead.encoder.tensors().items()}
        for category, model in kead.categories.items():
            if model.text is not None:
                tensors[f"{TEXT}/{category}"] = model.text
            for number, layer in enumerate(model.bank.layers if model.bank else ()):
                tensors[f"{BANK}/{number}/{category}"] = layer
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def setup(self, device: str, weights: Mapping[str, np.ndarray]) -> None:
        """Build KeAD on ``device`` around the shared arrays; on a CPU nothing is copied."""
        parts: dict[str, dict[str, Tensor]] = {ENCODER: {}, TEXT: {}, BANK: {}}
        for name, tensor in from_arrays(weights).items():
            kind, rest = name.split("/", 1)
            parts[kind][rest] = tensor
        encoder = build_encoder(self._spec, parts[ENCODER], device)
        banks: dict[str, dict[int, Tensor]] = {}
        for name, layer in parts[BANK].items():
            number, category = name.split("/", 1)
            banks.setdefault(category, {})[int(number)] = layer.to(device)
        categories = {
            category: CategoryModel(
                parts[TEXT][category].to(device) if category in parts[TEXT] else None,
                _bank(banks.get(category)),
            )
            for category in parts[TEXT].keys() | banks.keys()
        }
        self._kead = KeAD(self._spec.settings, encoder, categories=categories)

    def load(self, batch: Sequence[Sample]) -> PreparedBatch:
        """Decode, squash and normalise pictures; what does not decode is quarantined."""
        encoder = self._ready().encoder
        kept: list[tuple[Sample, tuple[int, int], Tensor]] = []
        quarantined = []
        for sample in batch:
            try:
                picture = open_picture(sample.uri)
            except PictureError as error:
                quarantined.append(Quarantined(sample.uri, str(error), sample.id))
                continue
            height, width = picture.shape[:2]
            kept.append((sample, (width, height), encoder.prepare(picture)))
        samples, sizes, pixels = zip(*kept, strict=True) if kept else ((), (), ())
        return PreparedBatch(samples, sizes, pixels, tuple(quarantined))

    def process(self, loaded: PreparedBatch) -> StageOutput:
        """Score one batch; gives one row of ``evaluation.anomaly_maps.SCHEMA`` per picture."""
        categories = [sample.category for sample in loaded.samples]
        scores = self._ready().score_prepared(loaded.pixels, categories)
        rows = zip(loaded.samples, loaded.sizes, scores, strict=True)
        return StageOutput(to_table([_to_row(*row) for row in rows]), loaded.quarantined)

    def _ready(self) -> KeAD:
        if self._kead is None:
            raise RuntimeError("KeADStage.setup was not called")
        return self._kead


def _bank(layers: Mapping[int, Tensor] | None) -> MemoryBank | None:
    if layers is None:
        return None
    return MemoryBank(tuple(layers[number] for number in sorted(layers)))


def _to_row(sample: Sample, size: tuple[int, int], score: PictureScore) -> AnomalyMap:
    return AnomalyMap(
        sample_id=sample.id,
        uri=sample.uri,
        category=sample.category,
        score=score.score,
        class_score=score.class_score,
        width=size[0],
        height=size[1],
        grid=score.map.astype(np.float16),
    )
