"""Tables in Markdown, and text from strangers in them."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table, its heading first; cells stand as they are: see ``plain``."""
    heading, *cells = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([heading, "|" + "---|" * len(rows[0]), *cells])


def plain(text: str) -> str:
    """Keep text from strangers, such as a class's name, from ending a cell or starting markup."""
    line = " ".join(text.split()).replace("\\", "\\\\")
    for sign in "|<>[]`*":
        line = line.replace(sign, f"\\{sign}")
    return line
