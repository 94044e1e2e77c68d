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
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.loading import build_encoder
from millsight.pretraining.kead.memory_bank import MemoryBank
from millsight.pretraining.kead.scoring import CategoryModel, PictureScore
from millsight.pretraining.kead.unlabelled import Identity, UnlabelledPictures

ENCODER, TEXT, BANK, UNLABELLED = "encoder", "text", "bank", "unlabelled"


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
        """Return the encoder's tensors, and what is known of each category."""
        kead = self._ready()
        tensors = {f"{ENCODER}/{k}": tensor for k, tensor in kead.encoder.tensors().items()}
        for category, model in kead.categories.items():
            if model.text is not None:
                tensors[f"{TEXT}/{category}"] = model.text
            for number, layer in enumerate(model.bank.layers if model.bank else ()):
                tensors[f"{BANK}/{number}/{category}"] = layer
            for name, tensor in model.unlabelled.arrays().items() if model.unlabelled else ():
                tensors[f"{UNLABELLED}/{name}/{category}"] = tensor
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def setup(self, device: str, weights: Mapping[str, np.ndarray]) -> None:
        """Build KeAD on ``device`` around the shared arrays; on a CPU nothing is copied."""
        parts: dict[str, dict[str, Tensor]] = {
            kind: {} for kind in (ENCODER, TEXT, BANK, UNLABELLED)
        }
        for name, tensor in from_arrays(weights).items():
            kind, rest = name.split("/", 1)
            parts[kind][rest] = tensor
        encoder = build_encoder(self._spec, parts[ENCODER], device)
        banks = _by_category(parts[BANK], device)
        unlabelled = _by_category(parts[UNLABELLED], device)
        categories = {
            category: CategoryModel(
                parts[TEXT][category].to(device) if category in parts[TEXT] else None,
                _bank(banks.get(category)),
                UnlabelledPictures.of(unlabelled[category]) if category in unlabelled else None,
            )
            for category in parts[TEXT].keys() | banks.keys() | unlabelled.keys()
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
        identities = [Identity.of(sample) for sample in loaded.samples]
        scores = self._ready().score_prepared(loaded.pixels, categories, identities)
        rows = zip(loaded.samples, loaded.sizes, scores, strict=True)
        return StageOutput(to_table([_to_row(*row) for row in rows]), loaded.quarantined)

    def _ready(self) -> KeAD:
        if self._kead is None:
            raise RuntimeError("KeADStage.setup was not called")
        return self._kead


def _by_category(tensors: Mapping[str, Tensor], device: str) -> dict[str, dict[str, Tensor]]:
    """Sort tensors named ``<name>/<category>``, whose category may hold slashes."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, category = key.split("/", 1)
        found.setdefault(category, {})[name] = tensor.to(device)
    return found


def _bank(layers: Mapping[str, Tensor] | None) -> MemoryBank | None:
    if layers is None:
        return None
    return MemoryBank(tuple(layers[number] for number in sorted(layers, key=int)))


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
