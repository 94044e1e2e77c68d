"""Predictions of any tool, joined with the truth into a result table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from millsight.evaluation.results import coco, decisions, maps, masks, scores
from millsight.evaluation.results.outside import absolute, file_input, folder_input
from millsight.evaluation.results.row import PictureResult
from millsight.evaluation.results.table import to_table
from millsight.evaluation.results.truth import from_samples
from millsight.evaluation.runs.commands import EvaluateConfig
from millsight.evaluation.runs.map_sources import MapSources, map_facts, open_maps
from millsight.platform.artifacts import library_versions
from millsight.platform.catalog.catalog import Catalog, category_of, load_data
from millsight.platform.catalog.sample import GOOD, Sample
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input

TEST = "test"
FILES = ("detections", "annotations", "scores")


@dataclass(frozen=True)
class Truth:
    """The pictures to judge.

    Attributes:
        catalog: Labels, masks and boxes; ``None`` where a COCO annotation file alone is the truth.
        samples: The pictures of it that are judged.
        split: Which split that is; ``None`` for all of them.
        maps: The maps that say which pictures are judged, if there are any.
    """

    catalog: Catalog | None
    samples: Sequence[Sample]
    split: str | None
    maps: MapSources | None = None


def open_truth(config: EvaluateConfig) -> Truth:
    """Find the pictures to judge.

    Raises:
        UserError: If there is none in the split and category.
    """
    if config.maps is not None:
        sources = open_maps(
            *(config.maps, config.data, config.layout, config.boxes),
            split=config.split,
            category=config.category,
        )
        samples = [sample for _, sample in sources.pairs]
        return Truth(sources.catalog, samples, config.split, sources)
    if config.data is None:
        return Truth(None, (), None)
    catalog = load_data(config.data, config.layout, config.category)
    splits = Counter(sample.split for sample in catalog.samples)
    split = config.split or (TEST if TEST in splits else None)
    chosen = catalog if split is None else catalog.where(split=split)
    if not chosen.samples:
        there = ", ".join(f"{name} ({count})" for name, count in splits.items())
        raise UserError(f"--split {split}: {config.data} has no such picture; it has {there}.")
    return Truth(catalog, chosen.samples, split)


def prediction_inputs(config: EvaluateConfig, truth: Truth) -> dict[str, Input]:
    """Name everything that the table is made from, as an artifact's inputs."""
    inputs = {} if truth.maps is None else truth.maps.inputs()
    if truth.catalog is not None:
        inputs["data"] = truth.catalog.as_input()
    if config.masks is not None:
        inputs["masks"] = folder_input(config.masks, masks.png_files(config.masks))
    given = {name: getattr(config, name) for name in FILES}
    return inputs | {name: file_input(path) for name, path in given.items() if path is not None}


def prediction_facts(config: EvaluateConfig, truth: Truth) -> dict[str, object]:
    """Say what was judged, for the report."""
    facts: dict[str, object] = {} if truth.maps is None else map_facts(truth.maps)
    facts["data"] = config.annotations if truth.catalog is None else truth.catalog.uri
    if truth.split is not None:
        facts["split"] = truth.split
    named = ("masks", "threshold", "detections", "annotations", "scores", "score_threshold")
    given = {name: getattr(config, name) for name in named}
    facts |= {name.replace("_", " "): value for name, value in given.items() if value is not None}
    return facts | {"versions": library_versions()}


def prediction_table(config: EvaluateConfig, truth: Truth, name: str) -> pa.Table:
    """Fill in the truth, then what each tool predicted, then the decisions.

    Raises:
        UserError: If a file breaks its format or leaves a picture out.
    """
    rows = _truth_rows(config, truth)
    if config.maps is not None:
        rows = maps.add_maps(rows, config.maps)
    if config.masks is not None:
        rows = masks.add_masks(rows, absolute(config.masks), config.threshold)
    if config.detections is not None:
        if config.annotations is not None and not any(row.true_boxes for row in rows):
            rows = coco.add_truth(rows, config.annotations)
        rows = coco.add_boxes(rows, config.detections, config.annotations)
        # Without good pictures there is nothing to tell defects from.
        if config.maps is None and any(row.defective is False for row in rows):
            rows = decisions.score_by_boxes(rows)
    if config.scores is not None:
        rows = scores.add_scores(rows, config.scores)
    return to_table(_decide(rows, config), name)


def _truth_rows(config: EvaluateConfig, truth: Truth) -> list[PictureResult]:
    if truth.catalog is None:
        annotations = str(config.annotations)
        category = config.category or category_of(annotations.rpartition(".")[0])
        return coco.read_truth(annotations, category)
    return from_samples(truth.samples)


def _decide(rows: Sequence[PictureResult], config: EvaluateConfig) -> list[PictureResult]:
    how = _automatic(rows, config) if config.decide == "auto" else config.decide
    if how == "score":
        return decisions.by_score(rows, config.score_threshold or 0.0)
    if how == "boxes":
        return decisions.by_boxes(rows, config.score_threshold or 0.0)
    if how == "pixels":
        return decisions.by_pixels(rows)
    return decisions.by_label(rows) if how == "label" else list(rows)


def _automatic(rows: Sequence[PictureResult], config: EvaluateConfig) -> str | None:
    """Choose what decides; ``None`` leaves what ``--scores`` says, if it says anything."""
    if any(row.decision is not None for row in rows):
        return None
    if config.score_threshold is not None:
        return "score"
    if config.masks is not None:
        return "pixels"
    # Where nothing is good and nothing is called so, classes stop every part: that is no decision.
    called = {label for row in rows for label in (row.label, row.predicted_label)}
    return "label" if GOOD in called and len(called - {None}) > 1 else None
