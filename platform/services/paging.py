"""Cursor pagination: a page names the place where the next begins, so inserts move nothing."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from millsight.platform.services.problems import ProblemError

T = TypeVar("T")
MAX_PAGE = 200
MAX_CURSOR_CHARACTERS = 500


class PageQuery(BaseModel):
    """Which part of a list.

    Attributes:
        limit: At most so many.
        cursor: ``next_cursor`` of the page before.
    """

    model_config = ConfigDict(extra="forbid")
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    cursor: str | None = None


class Page(BaseModel, Generic[T]):
    """Part of a list.

    Attributes:
        items: At most as many as were asked for.
        next_cursor: Give it as ``cursor`` to get the following page; absent on the last.
    """

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(*values: float | str) -> str:
    """Turn the sort key of a page's last item into an opaque cursor."""
    text = json.dumps(values, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> tuple[float | str, ...]:
    """Read a cursor.

    Args:
        cursor: What ``encode_cursor`` made.
        kinds: The type of each value: int, float or str.

    Raises:
        ProblemError: 422, if it is not such a cursor.
    """
    try:
        if len(cursor) > MAX_CURSOR_CHARACTERS:
            raise ValueError("too long")
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = json.loads(base64.b64decode(padded, b"-_", validate=True))
        if not isinstance(values, list) or [type(value) for value in values] != list(kinds):
            raise ValueError("other values")
        if any(isinstance(value, int) and abs(value) >= 2**63 for value in values):
            raise ValueError("more than 64 bits")
    except (ValueError, binascii.Error, RecursionError):
        raise ProblemError(
            422, "`cursor` is not one that this list gave: leave it out to begin at the start."
        ) from None
    return tuple(values)
