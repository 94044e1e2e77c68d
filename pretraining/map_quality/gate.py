"""Refuses maps from which nothing can be learnt, and says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millsight.platform.errors import UserError
from millsight.pretraining.map_quality.measures import MapQuality


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest value of a measure that is let through, and what a larger one means."""

    highest: float
    meaning: str


# Usable maps of magnetic-tile, kolektor and procedural steel lie below: flat 0.03, coverage 0.45,
# saturation 0.02, border 2.4 and sameness 0.55 at most.
LIMITS = {
    "broken": Limit(0, "maps hold values that are not finite: extract them again"),
    "flat": Limit(0.5, "of the maps are flat: the encoder sees no difference within a picture"),
    "coverage": Limit(0.6, "of the area is hot: what is everywhere is no defect"),
    "saturation": Limit(0.25, "of a map is at its maximum: its values are clipped"),
    "border": Limit(6.0, "times as much energy at the border as inside: padding, not defects"),
    "sameness": Limit(
        0.9, "is the maps' correlation with each other: they show the camera's light"
    ),
}
WHOLE_BOXES = 0.5


def find_faults(
    measured: Sequence[MapQuality], boxes: Mapping[str, Any] | None = None
) -> list[str]:
    """Say in sentences what is wrong with the maps of each category; nothing where all is well.

    Args:
        measured: Of every category.
        boxes: ``report.json`` of the maps' pseudo boxes, if there are any.
    """
    faults = [fault for quality in measured for fault in _map_faults(quality)]
    for category, row in (boxes or {}).get("categories", {}).items():
        faults += _box_faults(category, row)
    return faults


def require_fit(faults: Sequence[str], named: str, sheet: str | None) -> None:
    """Refuse to train on faulty maps.

    Args:
        faults: See ``find_faults``.
        named: Flag and what the user gave it.
        sheet: Where the contact sheet lies; ``None`` where the maps are gone and their boxes left.

    Raises:
        UserError: With every fault.
    """
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise UserError(
            f"{named}: nothing can be learnt from these maps:\n{listed}\n"
            f"{f'Look at {sheet}. ' if sheet else ''}Extract maps with another encoder, prompts or "
            "normal pictures; --gate false trains on them all the same."
        )


def _map_faults(quality: MapQuality) -> list[str]:
    faults = []
    for name, limit in LIMITS.items():
        value = getattr(quality, name)
        if value > limit.highest:
            faults.append(
                f"{quality.category}: {name} {value:.3g} (at most {limit.highest:g}): "
                f"{value:.3g} {limit.meaning}."
            )
    return faults


def _box_faults(category: str, row: Mapping[str, Any]) -> list[str]:
    if not row["boxes"]:
        return [
            f"{category}: no box in {row['pictures']} pictures: the threshold is too high; make "
            "the boxes with a larger --margin or a lower --tau."
        ]
    whole = row["area_histogram"][-1] / row["boxes"]
    if whole > WHOLE_BOXES:
        return [
            f"{category}: {whole:.0%} of the boxes take more than a quarter of their picture: the "
            "threshold is too low; make the boxes with a smaller --margin."
        ]
    return []
