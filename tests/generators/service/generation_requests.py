"""Requests that several tests of the generation service send."""

from __future__ import annotations

import time
from typing import Any

import httpx

Headers = dict[str, str]
SECONDS = 120.0


def ask(client: httpx.Client, headers: Headers, **body: Any) -> str:
    """Ask for a set and return its id."""
    answer = client.post("/sets", json={"label": "scratch", "seed": 1, **body}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait(client: httpx.Client, set_id: str, headers: Headers) -> dict[str, Any]:
    """Wait for a set's end."""
    deadline = time.monotonic() + SECONDS
    while True:
        found: dict[str, Any] = client.get(f"/sets/{set_id}", headers=headers).json()
        if found["state"] not in {"queued", "running"}:
            return found
        assert time.monotonic() < deadline, f"waited in vain: {found}"
        time.sleep(0.02)


def pictures(client: httpx.Client, set_id: str, headers: Headers, **query: Any) -> list[Any]:
    """List a set's pictures."""
    page = client.get(f"/sets/{set_id}/pictures", params={"limit": 200, **query}, headers=headers)
    return list(page.json()["items"])
