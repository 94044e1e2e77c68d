"""Pseudo boxes are looked at before a detector learns from them, and so are their maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from millsight.evaluation import anomaly_maps
from millsight.evaluation.anomaly_maps import AnomalyMap, read_maps
from millsight.platform.artifacts import Artifact, Draft
from millsight.platform.tracking import Tracker
from millsight.pretraining.map_quality.check import check_maps
from millsight.pretraining.model_card import find_source, inputs_of
from millsight.pretraining.pseudo_boxes.produce import read_report


def check_boxes(boxes: Sequence[Artifact], draft: Draft, tracker: Tracker, *, refuse: bool) -> None:
    """Measure boxes by their reports, and the maps that still lie where the boxes were made.

    Args:
        boxes: Of kind ``pseudo_boxes``; may be none.
        draft: Gets ``map_quality.json`` and ``maps.jpg``.
        tracker: Is shown the sheet.
        refuse: Whether faults end the run.

    Raises:
        UserError: With every fault, if ``refuse``; or if a report is damaged.
    """
    if not boxes:
        return
    inputs = [source for artifact in boxes for source in inputs_of(artifact).values()]
    found = [artifact for source in inputs if (artifact := find_source(source)) is not None]
    sources = [artifact for artifact in found if artifact.manifest["kind"] == anomaly_maps.KIND]

    def maps() -> Iterator[AnomalyMap]:
        for source in sources:
            yield from read_maps(source)

    named = f"--boxes {', '.join(artifact.path for artifact in boxes)}"
    reports = [read_report(one) for one in boxes]
    check_maps(maps, draft, tracker, named, refuse=refuse, reports=reports)
