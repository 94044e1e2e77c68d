"""The data card: what a set is, what it was made of, and what was thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from millsight.generators.export.export import Exported
from millsight.generators.export.files import PROVENANCE
from millsight.platform import markdown, storage

CARD = "README.md"


@dataclass(frozen=True)
class Reason:
    """How often one filter judged, and rejected.

    Attributes:
        name: Of the filter.
        judged: Samples that it saw.
        rejected: Those that it turned down.
    """

    name: str
    judged: int
    rejected: int


@dataclass(frozen=True)
class Card:
    """What a set was made with.

    Attributes:
        title: For people.
        license: Terms of use, in words; of the base model, where there is one.
        base_model: Repository and revision, or a folder and its hash; ``None`` without a model.
        adapters: Name or address to hash.
        seeds: Of the specs.
        tried: Samples that were made, rejected ones included.
        reasons: One per filter.
        lineage: What it was made from, by role: an address or a fingerprint.
        settings: Anything else that decides the pictures.
    """

    title: str
    license: str
    base_model: str | None = None
    adapters: Mapping[str, str] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    tried: int = 0
    reasons: Sequence[Reason] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)


def write_card(card: Card, exported: Exported) -> None:
    """Write ``README.md`` beside the pictures."""
    text = render_card(card, exported)
    storage.write_bytes(f"{exported.folder}/{CARD}", text.encode())


def render_card(card: Card, exported: Exported) -> str:
    """Return the card as Markdown."""
    blocks = [
        f"# {markdown.plain(card.title)}",
        f"{exported.pictures} synthetic pictures with masks and boxes. **They are no photographs**:"
        " every PNG says so in its IPTC Digital Source Type. Train on them beside real pictures; "
        "never test on them.",
        _table(("what", "value"), _facts(card, exported)),
        "## Classes",
        _table(("class", "pictures"), exported.labels.items()),
        "## What was made, and kept",
        _kept(card, exported),
        "## Made from",
        _table(("role", "address or fingerprint"), card.lineage.items()),
        "## Settings",
        _table(("setting", "value"), card.settings.items()),
        "## Every picture",
        f"`{PROVENANCE}` has a line per picture: its files, class and boxes (x0, y0, x1, y1 in "
        "pixels, far corner exclusive), the full request, what it was made of, and what every "
        "filter found. With the same materials and weights a request gives the same picture again.",
    ]
    return "\n\n".join(blocks) + "\n"


def _facts(card: Card, exported: Exported) -> list[tuple[str, object]]:
    adapters = ", ".join(f"{name} ({digest})" for name, digest in card.adapters.items())
    return [
        ("layout", exported.format),
        ("licence", card.license),
        ("base model", card.base_model or "none"),
        ("adapters", adapters or "none"),
        ("seeds", ", ".join(map(str, card.seeds)) or "none"),
    ]


def _kept(card: Card, exported: Exported) -> str:
    share = f" ({exported.pictures / card.tried:.0%})" if card.tried else ""
    text = f"{card.tried} samples were made, {exported.pictures}{share} kept."
    rows = [
        (item.name, item.judged, item.rejected, _share(item.judged - item.rejected, item.judged))
        for item in card.reasons
    ]
    return f"{text}\n\n{_table(('filter', 'judged', 'rejected', 'accepted'), rows)}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _table(header: tuple[str, ...], rows: Iterable[Sequence[object]]) -> str:
    found = [tuple(markdown.plain(str(value)) for value in row) for row in rows]
    return markdown.table([header, *found]) if found else "None."
