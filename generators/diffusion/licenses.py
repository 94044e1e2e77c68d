"""Under which terms weights may be used, as their folder states them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from millsight.platform.errors import UserError

UNKNOWN = "unknown"
CARD = "README.md"
FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENSE.TXT", "license.txt")
# Names such as cc-by-nc-4.0, stabilityai-nc-research-community, "for research only".
NON_COMMERCIAL_NAME = re.compile(
    r"(^|[-_ ])nc([-_ ]|$)|non-?commercial|research[-_ ]only|research-license", re.IGNORECASE
)
# In a whole text, "for commercial and non-commercial use" is no restriction.
NON_COMMERCIAL_TEXT = re.compile(
    r"attribution-?\s*noncommercial"
    r"|(?<!or )(?<!and )(?<!both )non-?commercial (and research |research )?(use|purposes?) only"
    r"|(only|solely|exclusively) for non-?commercial"
    r"|non-?commercial (research )?(community )?licen[sc]e",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class License:
    """Terms of a folder of weights.

    Attributes:
        name: As the model card's ``license`` says, for example ``creativeml-openrail-m``, else the
            first line of the licence file; ``unknown`` where neither is there.
        origin: Name of the file that says so; empty where there is none.
        commercial: ``False`` where the terms forbid commercial use, ``None`` where they are
            unknown.
    """

    name: str
    origin: str
    commercial: bool | None

    def __str__(self) -> str:
        use = {True: "", False: ", no commercial use", None: ", ask whoever made the weights"}
        origin = f" ({self.origin})" if self.origin else ""
        return f"{self.name}{origin}{use[self.commercial]}"


def read_license(folder: Path) -> License:
    """Read a folder's model card, or else its licence file.

    Raises:
        UserError: If the card's front matter is no YAML.
    """
    card = folder / CARD
    named = _front_matter(card) if card.is_file() else {}
    name = str(named.get("license_name") or named.get("license") or "").strip()
    text = next((folder / name for name in FILES if (folder / name).is_file()), None)
    content = text.read_text(encoding="utf-8", errors="replace") if text is not None else ""
    restricted = bool(NON_COMMERCIAL_NAME.search(name) or NON_COMMERCIAL_TEXT.search(content))
    if name:
        return License(name, CARD, not restricted)
    if text is None:
        return License(UNKNOWN, "", None)
    first = next((line.strip() for line in content.splitlines() if line.strip()), UNKNOWN)
    return License(first[:80], text.name, not restricted)


def check_license(terms: License, source: str, *, allow_non_commercial: bool) -> None:
    """Refuse weights that must not be used commercially, unless that was asked for.

    Raises:
        UserError: Naming the terms and the flag.
    """
    if terms.commercial is False and not allow_non_commercial:
        raise UserError(
            f"{source}: its licence, {terms.name}, forbids commercial use. If yours is none, say "
            "--allow_non_commercial true; it is recorded with everything made from these weights. "
            "Otherwise choose another base model."
        )


def _front_matter(card: Path) -> dict[str, object]:
    head = re.match(r"\A---\s*\n(.*?)\n---", card.read_text(encoding="utf-8"), re.DOTALL)
    if head is None:
        return {}
    try:
        content = yaml.safe_load(head[1])
    except yaml.YAMLError as error:
        raise UserError(f"{card}: its front matter is no YAML ({error}).") from None
    return content if isinstance(content, dict) else {}
