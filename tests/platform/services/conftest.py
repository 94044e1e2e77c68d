from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

Serve = Callable[..., TestClient]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a counting service in this process; its worker runs until the test ends."""
    from counting_service import create

    with ExitStack() as stack:

        def start(**settings: Any) -> TestClient:
            app = create(tmp_path / "service", **settings)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture
def ended() -> Callable[[TestClient, str], dict[str, Any]]:
    """Wait for a job's end."""

    def wait(client: TestClient, job: str) -> dict[str, Any]:
        deadline = time.monotonic() + 15
        while (found := client.get(f"/jobs/{job}").json())["state"] in {"queued", "running"}:
            assert time.monotonic() < deadline, f"waited in vain: {found}"
            time.sleep(0.05)
        return dict(found)

    return wait
