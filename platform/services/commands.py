"""``millsight tokens create``, ``list`` and ``revoke``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from millsight.platform.commands import Outcome

if TYPE_CHECKING:
    from millsight.platform.services.tokens import Token, TokenStore

FOLDER = Path("millsight-service")


@dataclass(kw_only=True)
class CreateConfig:
    """Settings of ``millsight tokens create``.

    Attributes:
        name: Whose token, or what for.
        scopes: Some of read, submit and admin; admin allows everything.
        days: How long it is valid; for ever if not given.
        folder: The service's folder, as in ``millsight serve``.
    """

    name: str
    scopes: list[str] = field(default_factory=lambda: ["read", "submit"])
    days: float | None = None
    folder: Path = FOLDER


@dataclass(kw_only=True)
class ListConfig:
    """Settings of ``millsight tokens list``.

    Attributes:
        folder: The service's folder, as in ``millsight serve``.
    """

    folder: Path = FOLDER


@dataclass(kw_only=True)
class RevokeConfig:
    """Settings of ``millsight tokens revoke``.

    Attributes:
        token: Its id, as ``millsight tokens list`` shows it.
        folder: The service's folder, as in ``millsight serve``.
    """

    token: str
    folder: Path = FOLDER


def create(config: CreateConfig) -> Outcome:
    """Make a token for a service; the secret is shown this once."""
    token, secret = _store(config.folder).create(config.name, config.scopes, days=config.days)
    print(f"token {token.id} for {token.name!r}: {_scopes(token)}")
    print(f"{secret}")
    print("Keep it now: only its hash is stored. A service started without tokens asks for them")
    print("from its next start on.")
    return Outcome()


def list_tokens(config: ListConfig) -> Outcome:
    """List a service's tokens, without their secrets."""
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "name", "scopes", "created", "state", box=None, header_style="bold")
    for token in _store(config.folder).list():
        table.add_row(token.id, token.name, _scopes(token), _date(token.created), _state(token))
    Console().print(table)
    return Outcome()


def revoke(config: RevokeConfig) -> Outcome:
    """End a token at once, for a running service too."""
    _store(config.folder).revoke(config.token)
    print(f"token {config.token} is revoked")
    return Outcome()


def _store(folder: Path) -> TokenStore:
    from millsight.platform.services.database import Database
    from millsight.platform.services.tokens import TokenStore

    return TokenStore(Database(folder / "service.db"))


def _scopes(token: Token) -> str:
    return ", ".join(sorted(token.scopes))


def _date(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _state(token: Token) -> str:
    import time

    if token.revoked is not None:
        return f"revoked {_date(token.revoked)}"
    if token.expires is None:
        return "valid"
    ended = token.expires <= time.time()
    return f"{'expired' if ended else 'valid until'} {_date(token.expires)}"
