"""Maps, and the boxes that were made of them, are looked at before any training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from millsight.platform import storage
from millsight.platform.artifacts import Draft
from millsight.platform.contact_sheets import write_sheets
from millsight.platform.tracking import Tracker
from millsight.pretraining.map_quality.contact_sheet import choose, contact_sheet
from millsight.pretraining.map_quality.gate import find_faults, require_fit
from millsight.pretraining.map_quality.measures import Maps, measure_maps

MAPS_SHEET = "maps.jpg"
QUALITY_FILE = "map_quality.json"


def check_maps(
    maps: Maps,
    draft: Draft,
    tracker: Tracker,
    named: str,
    *,
    refuse: bool,
    reports: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write what is seen before anything is refused: the user is told to look.

    Args:
        maps: Called for each pass; may yield none where only their boxes are left.
        draft: Gets ``map_quality.json`` and ``maps.jpg``.
        tracker: Is shown the sheet.
        named: Flag and what the user gave it.
        refuse: Whether faults end the run.
        reports: ``report.json`` of each artifact of pseudo boxes.

    Raises:
        UserError: With every fault, if ``refuse``.
    """
    measured = measure_maps(maps)
    text = json.dumps([asdict(quality) for quality in measured], indent=2)
    storage.write_bytes(draft.file(QUALITY_FILE), f"{text}\n".encode())
    if measured:
        write_sheets({MAPS_SHEET: contact_sheet(choose(maps()))}, draft, tracker)
    faults = find_faults(measured)
    faults += [fault for report in reports for fault in find_faults((), report)]
    if refuse:
        require_fit(faults, named, draft.file(MAPS_SHEET) if measured else None)
