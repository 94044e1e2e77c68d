"""The little of W&B's API that checks what has arrived, without the retries of its own client."""

from __future__ import annotations

import netrc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from millsight.platform.errors import UserError

WANDB_HOST = "https://api.wandb.ai"
ANSWER_SECONDS = 15.0

_ROWS = """query Rows($entity: String!, $project: String!, $run: String!) {
  project(name: $project, entityName: $entity) { run(name: $run) { historyLineCount } }
}"""
_ENTITY = "query Viewer { viewer { entity } }"


def base_url() -> str:
    """Return the server: ``WANDB_BASE_URL``, or W&B's own."""
    return os.environ.get("WANDB_BASE_URL", WANDB_HOST).rstrip("/")


def api_key() -> str | None:
    """Return the key from ``WANDB_API_KEY`` or netrc, if there is one."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        found = netrc.netrc(path).authenticators(urlsplit(base_url()).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


@dataclass(frozen=True)
class WandbApi:
    """A W&B server and the key to it.

    Attributes:
        url: Where it is.
        key: The user's.
    """

    url: str
    key: str

    def entity(self) -> str:
        """Return the key's own user or team.

        Raises:
            UserError: If the server does not answer, or answers with an error.
        """
        entity: str = self._ask(_ENTITY)["viewer"]["entity"]
        return entity

    def rows(self, entity: str, project: str, run_id: str) -> int | None:
        """Return how many rows of a run's history have arrived; None if there is no such run.

        Raises:
            UserError: If the server does not answer, or answers with an error.
        """
        variables = {"entity": entity, "project": project, "run": run_id}
        found = self._ask(_ROWS, variables)["project"]
        run = found and found["run"]
        return int(run["historyLineCount"]) if run else None

    def _ask(self, query: str, variables: dict[str, str] | None = None) -> dict[str, Any]:
        import httpx

        content = {"query": query, "variables": variables or {}}
        try:
            answer = httpx.post(
                f"{self.url}/graphql",
                json=content,
                auth=("api", self.key),
                timeout=ANSWER_SECONDS,
            )
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UserError(
                f"W&B at {self.url} does not answer ({error}). Runs stay where they are: "
                "run the same command again later, or set WANDB_BASE_URL to your server."
            ) from error
        if found.get("errors") or not found.get("data"):
            reason = [error["message"] for error in found.get("errors", [])]
            raise UserError(f"W&B at {self.url} refuses: {'; '.join(reason) or 'no data'}.")
        data: dict[str, Any] = found["data"]
        return data
