"""What was measured, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millsight.platform.markdown import plain, table

HEADING = (
    *("class", "set", "pictures", "KID", "precision", "recall", "coverage", "diversity"),
    *("nearest", "copies"),
)
NOTES = """\
**KID**, **precision**, **recall** and **coverage** hold pictures against real ones that nothing was
learned from. The row *real pictures* holds those that were learned from against the same
ones: as good as it gets. KID is unbiased: for few pictures it scatters around 0 and may be below.
**Diversity** is the mean distance between pictures whose nearest real picture is the same one;
near 0, a set repeats itself. **Nearest** is the median distance of a picture to the nearest one
learned from, as a share of that between real pictures; **copies** is the share of pictures that lie
nearer than any two real ones do. The sheets show the nearest ones."""
NOTHING = "-"


def to_text(content: Mapping[str, Any]) -> str:
    """Return ``comparison.json`` as Markdown."""
    rows = table([HEADING, *(_cells(row) for row in content["rows"])])
    return f"# Synthetic pictures beside real ones\n\n{rows}\n\n{NOTES}\n\n{_counts(content)}\n"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    diversity = (row.get("ic_diversity") or {}).get("value")
    memorised = row.get("memorisation") or {}
    return (
        plain(row["label"]),
        plain(row["set"]),
        str(row["n_generated"]),
        _number(row.get("kid"), 4),
        *(_number(row.get(name)) for name in ("precision", "recall", "coverage")),
        _number(diversity, 3),
        _number(_share(memorised)),
        _number(memorised.get("closer_than_all_real")),
    )


def _share(memorised: Mapping[str, Any]) -> float | None:
    """Median distance to the nearest real picture, over that of real ones to each other."""
    if not memorised:
        return None
    found, usual = (memorised[name]["0.5"] for name in ("generated_to_real", "real_to_real"))
    return found / usual if usual else None


def _counts(content: Mapping[str, Any]) -> str:
    held_out = {row["label"]: row["n_real"] for row in content["rows"]}
    counted = ", ".join(f"{plain(label)} {count}" for label, count in held_out.items())
    features = content["features"]
    return f"Held-out real pictures: {counted}. Features: {features['source']} " + (
        f"({features['sha256'][:16]})."
    )


def _number(value: float | None, digits: int = 2) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"
