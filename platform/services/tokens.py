"""Bearer tokens: shown once, kept only as hashes, each with its scopes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from millsight.platform.errors import UserError
from millsight.platform.services.database import Database

DAY_S = 86_400
TOKEN = re.compile(r"ms_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
NO_HASH = hashlib.sha256(b"").hexdigest()


class Scope(StrEnum):
    """What a token allows; admin allows everything."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; its secret is not.

    Attributes:
        id: The part that may be shown and logged.
        name: Whose or what for.
        scopes: What it allows.
        created: Seconds since the epoch.
        expires: Seconds since the epoch, or None.
        revoked: Seconds since the epoch, or None.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    created: float = 0
    expires: float | None = None
    revoked: float | None = None

    def allows(self, scope: Scope) -> bool:
        """Say whether the token covers ``scope``."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def is_valid(self, now: float) -> bool:
        """Say whether it is neither revoked nor past its end at ``now``."""
        return self.revoked is None and (self.expires is None or now < self.expires)


# Whoever reaches a loopback service without tokens is its owner.
OWNER = Token("local", "this machine", frozenset(Scope))


class TokenStore:
    """Tokens in SQLite; a running service and the command line may use the same file at once.

    Args:
        database: Where they lie.
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(
        self, name: str, scopes: Collection[str], *, days: float | None = None
    ) -> tuple[Token, str]:
        """Make a token.

        Args:
            name: Whose or what for.
            scopes: Some of read, submit and admin.
            days: How long it is valid; for ever if not given.

        Returns:
            What is known of it, and the token itself, which cannot be shown again.

        Raises:
            UserError: If a scope is unknown or none is given.
        """
        unknown = set(scopes) - set(Scope)
        if unknown or not scopes:
            raise UserError(
                f"--scopes: {', '.join(sorted(unknown)) or 'nothing'} given; "
                f"choose from {', '.join(Scope)}."
            )
        now, secret = self._clock(), secrets.token_urlsafe(32)
        expires = None if days is None else now + days * DAY_S
        token = Token(secrets.token_hex(6), name, frozenset(map(Scope, scopes)), now, expires)
        self._database.connection.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (token.id, name, _hash(secret), " ".join(sorted(token.scopes)), now, expires),
        )
        return token, f"ms_{token.id}_{secret}"

    def list(self) -> list[Token]:
        """Return every token there ever was, oldest first."""
        return [
            _to_token(row) for row in self._database.all("SELECT * FROM tokens ORDER BY created")
        ]

    def any_valid(self) -> bool:
        """Say whether anybody could get in."""
        return any(token.is_valid(self._clock()) for token in self.list())

    def revoke(self, token: str) -> None:
        """End a token at once, for running services too.

        Raises:
            UserError: If there is no token of this id.
        """
        changed = self._database.connection.execute(
            "UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE id = ?", (self._clock(), token)
        ).rowcount
        if not changed:
            raise UserError(f"There is no token {token!r}: the list of tokens shows their ids.")

    def authenticate(self, text: str) -> Token | None:
        """Return the token that ``text`` is, or None if it is none or no longer valid."""
        parts = TOKEN.fullmatch(text)
        if parts is None:
            return None
        rows = self._database.all("SELECT * FROM tokens WHERE id = ?", parts[1])
        # Compared for unknown ids too, so that the time taken does not tell which ids exist.
        known = hmac.compare_digest(_hash(parts[2]), rows[0]["hash"] if rows else NO_HASH)
        if not (known and rows):
            return None
        token = _to_token(rows[0])
        return token if token.is_valid(self._clock()) else None


def _hash(secret: str) -> str:
    # A plain hash is enough: 256 random bits cannot be guessed, whatever a guess costs.
    return hashlib.sha256(secret.encode()).hexdigest()


def _to_token(row: sqlite3.Row) -> Token:
    scopes = frozenset(map(Scope, row["scopes"].split()))
    times = (row["created"], row["expires"], row["revoked"])
    return Token(row["id"], row["name"], scopes, *times)
