"""One run from anomaly maps to a pretrained backbone: gate, train, look, export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from millsight.evaluation import anomaly_maps
from millsight.evaluation.anomaly_maps import AnomalyMap, read_maps
from millsight.platform.artifacts import Artifact, Draft, open_artifact
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.pictures import require_pictures
from millsight.platform.contact_sheets import write_sheets
from millsight.platform.errors import UserError
from millsight.platform.executors.training import Training
from millsight.platform.fingerprints import Input
from millsight.platform.tracking import Tracker
from millsight.platform.training import Hardware, MetricLog, train, trainer_options
from millsight.platform.weights import LoadedWeights
from millsight.pretraining.backbone.attention_check import (
    Attention,
    MaskedMap,
    attention_rows,
    measure_attention,
    measure_targets,
)
from millsight.pretraining.backbone.card import write_card
from millsight.pretraining.backbone.commands import PretrainBackboneConfig
from millsight.pretraining.backbone.export import export_backbone
from millsight.pretraining.backbone.module import BackboneModule, build_module
from millsight.pretraining.backbone.pictures import BackboneData
from millsight.pretraining.backbone.targets import to_targets
from millsight.pretraining.map_quality.check import check_maps

BACKBONE = "backbone"
ATTENTION_SHEET = "attention.jpg"


@dataclass(frozen=True)
class Sources:
    """What a backbone is pretrained from.

    Attributes:
        artifacts: Of kind ``maps``.
        maps: All their maps.
        masks: Where true masks are, or ``None``.
    """

    artifacts: tuple[Artifact, ...]
    maps: tuple[AnomalyMap, ...]
    masks: Catalog | None

    @property
    def categories(self) -> tuple[str, ...]:
        """The maps' categories in alphabetical order."""
        return tuple(sorted({item.category for item in self.maps}))

    def inputs(self) -> dict[str, Input]:
        """Name the sources as an artifact's inputs; nothing is learnt from masks."""
        named = {f"maps_{at}": artifact.as_input() for at, artifact in enumerate(self.artifacts)}
        return named if self.masks is None else named | {"masks": self.masks.as_input()}

    def masked(self) -> list[MaskedMap]:
        """Return the maps whose pictures have a true mask.

        Raises:
            UserError: If masks were named and belong to no map.
        """
        if self.masks is None:
            return []
        uris = {sample.id: sample.mask_uri for sample in self.masks if sample.defective}
        found = [(item, uris.get(item.sample_id)) for item in self.maps]
        masked = [MaskedMap(item, uri) for item, uri in found if uri is not None]
        if not masked:
            raise UserError(f"--masks {self.masks.uri} has no mask for any picture of --maps.")
        return masked


def open_sources(paths: list[str], masks: str | None) -> Sources:
    """Open the maps.

    Raises:
        UserError: If an artifact is missing or of another kind, all of them are empty, or pictures
            are gone.
    """
    opened = tuple(open_artifact(path, kind=anomaly_maps.KIND) for path in paths)
    maps = tuple(item for artifact in opened for item in read_maps(artifact))
    if not maps:
        raise UserError(
            f"--maps {', '.join(paths) or '(none)'}: there is not one map to learn from."
        )
    named = f"--maps {', '.join(paths)}"
    require_pictures([item.uri for item in maps], named, "make the maps again")
    return Sources(opened, maps, None if masks is None else load_data(masks))


def make(
    config: PretrainBackboneConfig,
    sources: Sources,
    loaded: LoadedWeights,
    draft: Draft,
    tracker: Tracker,
) -> dict[str, Any]:
    """Train and export; return the artifact's metrics.

    Raises:
        UserError: If nothing can be learnt from the maps, or the loss is not finite.
    """
    torch.set_num_threads(config.threads)
    settings = config.training
    if len(sources.maps) < settings.batch_size:
        raise UserError(
            f"--training.batch_size {settings.batch_size}: there are only {len(sources.maps)} maps."
        )
    # What cannot be built leaves nothing behind.
    module = build_module(loaded, settings, len(sources.categories))
    masked = sources.masked()
    named = f"--maps {', '.join(config.maps)}"
    check_maps(lambda: sources.maps, draft, tracker, named, refuse=config.gate)
    before = _look(module, masked, settings.image_size)
    floor = 0.0 if settings.compat == "official" and settings.floor is None else settings.floor
    targets = to_targets(sources.maps, floor)
    data = BackboneData(targets, sources.categories, settings, module.task.n_views, config.loaders)
    options = trainer_options(
        epochs=settings.epochs,
        clip_norm=settings.clip_norm,
        accumulate=settings.accumulate,
        precision=settings.precision,
    )
    training = Training(module, data, (MetricLog(tracker.log),), options)
    train(training, config.execution, draft, tracker.log, Hardware(config.accelerator))
    after = _look(module.cpu(), masked, settings.image_size)
    metrics: dict[str, Any] = {
        "pictures": len(sources.maps),
        "categories": len(sources.categories),
        "distill_weight": module.distill_weight.item() if settings.distill else None,
    }
    if before is not None and after is not None:
        metrics |= _compare(before, after)
        masks = {item.item.uri: item.mask_uri for item in masked}
        learned = [MaskedMap(item, masks[item.uri]) for item in targets if item.uri in masks]
        metrics["defect_energy_maps"] = measure_targets(learned, settings.image_size)
        rows = attention_rows(masked, before, after)
        write_sheets({ATTENTION_SHEET: rows}, draft, tracker)
    metrics["files"] = export_backbone(module.task.backbone, loaded, draft.file(BACKBONE))
    write_card(draft.file(f"{BACKBONE}/README.md"), settings, sources.inputs(), loaded, metrics)
    return metrics


def _look(module: BackboneModule, masked: list[MaskedMap], size: int) -> Attention | None:
    return measure_attention(module.task.backbone, masked, size) if masked else None


def _compare(before: Attention, after: Attention) -> Mapping[str, float]:
    return {
        f"defect_energy_{name}_stage_{stage}": value
        for name, found in (("before", before), ("after", after))
        for stage, value in enumerate(reversed(found.energy), start=1)
    }
