"""Synthetic pictures against the real ones they were made from, and against held-out ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millsight.generators.comparison.commands import TEXT_FILE
from millsight.generators.comparison.crops import SyntheticCrops, look_at_sets
from millsight.generators.comparison.text import to_text
from millsight.generators.filters.config import FilterConfig
from millsight.generators.filters.real import TRAIN, Crop, RealCrops, load_crops
from millsight.generators.masks.sources import defect_classes
from millsight.generators.quality.features import FeatureNet
from millsight.generators.quality.measure import measure_quality
from millsight.generators.quality.memorisation import nearest_real
from millsight.generators.quality.sheet import memorisation_sheet
from millsight.platform import storage
from millsight.platform.artifacts import Draft
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.contact_sheets import Picture, captioned, fitted, in_rows, write_sheets
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input
from millsight.platform.progress import progress_bar
from millsight.platform.tracking import Tracker
from millsight.platform.weights import LoadedWeights

ROWS_FILE = "comparison.json"
# Of pictures, for any distance between two of them.
LEAST = 2
# The row of the real pictures that sets were made from, held against the others as a set is.
REAL = "real pictures"
ACROSS, SHOWN = 8, 16
Row = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """What is compared.

    Attributes:
        real: Real pictures with their splits.
        sets: Synthetic pictures by name.
        weights: Of the network in whose features they are.
    """

    real: Catalog
    sets: Mapping[str, Sequence[Catalog]]
    weights: LoadedWeights

    def labels(self) -> tuple[str, ...]:
        """Return the defect classes of the sets.

        Raises:
            UserError: If there is none, or one that no real picture shows.
        """
        made = [sample for found in self.sets.values() for catalog in found for sample in catalog]
        labels, known = defect_classes(made), defect_classes(tuple(self.real))
        unknown = [label for label in labels if label not in known]
        if unknown or not labels:
            raise UserError(
                f"--sets: {', '.join(unknown) or 'there is no picture of a defect'}; --data "
                f"{self.real.uri} has {', '.join(known) or 'none'}."
            )
        return labels

    def inputs(self) -> dict[str, Input]:
        """Name the pictures as an artifact's inputs."""
        named = {"data": self.real.as_input()}
        for name, catalogs in self.sets.items():
            named |= {f"{name}_{at}": found.as_input() for at, found in enumerate(catalogs)}
        return named


@dataclass(frozen=True)
class OfClass:
    """One class: what is real, and what was made.

    Attributes:
        label: The class.
        learned: Real crops of the training split.
        held_out: Real crops of the other splits.
        sets: Synthetic crops by name of their set.
    """

    label: str
    learned: RealCrops
    held_out: RealCrops
    sets: Mapping[str, SyntheticCrops]


def make(sources: Sources, neighbours: int, draft: Draft, tracker: Tracker) -> dict[str, Any]:
    """Measure every class of every set; return the artifact's metrics.

    Args:
        sources: What is compared.
        neighbours: For precision and recall.
        draft: Gets ``comparison.json``, ``comparison.md`` and the sheets.
        tracker: Gets the table and the sheets.

    Raises:
        UserError: If a picture does not decode.
    """
    network, crops = FeatureNet(sources.weights), FilterConfig()
    classes = list(_by_class(sources, network, crops))
    rows = [row for one in classes for row in _measure(one, neighbours)]
    content = {"features": network.describe(), "rows": rows}
    storage.write_bytes(draft.file(ROWS_FILE), (json.dumps(content, indent=2) + "\n").encode())
    storage.write_bytes(draft.file(TEXT_FILE), to_text(content).encode())
    tracker.table("synthetic_comparison", [_flat(row) for row in rows])
    sheets: dict[str, list[Sequence[Picture]]] = {}
    for number, one in enumerate(classes):
        prefix = f"{number:02d}-{re.sub(r'[^a-zA-Z0-9]+', '-', one.label)}"
        sheets |= {f"{prefix}-{name}.jpg": rows for name, rows in _sheets(one, crops).items()}
    write_sheets(sheets, draft, tracker)
    made = [row for row in rows if row["set"] != REAL]
    return {"classes": len(classes), "pictures": sum(row["n_generated"] for row in made)}


def _by_class(sources: Sources, network: FeatureNet, config: FilterConfig) -> Iterator[OfClass]:
    with progress_bar("Looking at real pictures") as progress:
        crops = load_crops(network, sources.real, config, progress)
    with progress_bar("Looking at synthetic pictures") as progress:
        made = {
            name: look_at_sets(network, catalogs, config, progress)
            for name, catalogs in sources.sets.items()
        }
    for label in sources.labels():
        own = crops.of_class(label)
        learned = own.splits == TRAIN
        yield OfClass(
            label,
            own.select(learned),
            own.select(~learned),
            {name: found.of_class(label) for name, found in made.items()},
        )


def _measure(one: OfClass, neighbours: int) -> Iterator[Row]:
    """Yield a row for the real pictures learned from, then one per set."""
    held_out, learned = one.held_out.looks.features, one.learned.looks.features
    counts = {"n_real": len(held_out), "n_learned": len(learned)}
    reference = {"label": one.label, "set": REAL, **counts, "n_generated": len(learned)}
    if min(len(held_out), len(learned)) >= LEAST:
        measured = measure_quality(held_out, learned, neighbours=neighbours)
        # Nobody generated them: they repeat nothing.
        reference = measured | reference | {"ic_diversity": None, "memorisation": None}
    yield reference
    for name, found in one.sets.items():
        row = {"label": one.label, "set": name, **counts, "n_generated": len(found.crops)}
        if min(len(held_out), len(learned), len(found.crops)) >= LEAST:
            row |= measure_quality(
                held_out,
                found.features,
                learned=learned,
                objects=one.learned.objects.tolist(),
                neighbours=neighbours,
            )
        yield row


def _sheets(one: OfClass, config: FilterConfig) -> dict[str, list[Sequence[Picture]]]:
    """Return rows of tiles by name: real beside synthetic, and what comes nearest to the real."""
    groups = {"real, learned from": one.learned.crops, "real, held out": one.held_out.crops}
    groups |= {name: tuple(found.crops) for name, found in one.sets.items()}
    rows: list[Sequence[Picture]] = []
    for name, crops in groups.items():
        tiles = [captioned(name, [fitted(crop.cut(config))]) for crop in _spread(crops)]
        rows += in_rows(tiles, ACROSS)
    sheets = {"pictures": rows}
    learned = [crop.cut(config) for crop in one.learned.crops]
    for number, found in enumerate(one.sets.values()):
        if len(found.crops) and len(learned) >= LEAST:
            pictures = [crop.cut(config) for crop in found.crops]
            nearest = nearest_real(one.learned.looks.features, found.features, one.learned.objects)
            sheets[f"nearest-{number}"] = memorisation_sheet(learned, pictures, nearest)
    return sheets


def _spread(crops: Sequence[Crop]) -> Sequence[Crop]:
    """Take some of them, evenly spaced."""
    return crops[:: max(1, -(-len(crops) // SHOWN))]


def _flat(row: Row) -> dict[str, Any]:
    """Spread what is nested over columns."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}_{inner}": found for inner, found in _flat(dict(value)).items()}
        else:
            flat[name] = value
    return flat
