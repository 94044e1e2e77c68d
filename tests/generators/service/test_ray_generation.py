"""The service behind Ray Serve, with replicas that Serve keeps."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from generation_requests import ask, pictures, wait


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def own_process(title: str) -> int:
    """A worker of the Ray that this process started, by its title."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            named = title in (entry / "cmdline").read_text()
            if named and parent(parent(int(entry.name))) == os.getpid():
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f"no process called {title}")


@pytest.mark.slow
def test_sets_behind_ray_serve_are_those_of_the_plain_service(ray_session, served, tmp_path):
    from ray import serve

    from millsight.generators.service.ray_replicas import NAME, REPLICAS, make_application
    from millsight.platform.services import ray_serve

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    config = replace(served.config, folder=tmp_path / "service", port=port, replicas=2)
    bodies = [
        {"count": 12},
        {"mode": "variation", "adapter": "scratches", "steps": 2, "count": 2},
    ]
    wanted = []
    for body in bodies:
        set_id = ask(served.client, served.owner, **body)
        wait(served.client, set_id, served.owner)
        wanted.append(pictures(served.client, set_id, served.owner))
    ray_serve.start(NAME, partial(make_application, config), config)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            assert client.get("/readyz").json() == {"status": "ready"}
            assert client.get("/").status_code == 200
            for body, same in zip(bodies, wanted, strict=True):
                set_id = ask(client, {}, **body)
                found = wait(client, set_id, {})
                assert found["state"] == "done", found
                seen = pictures(client, set_id, {})
                assert [one["verdicts"] for one in seen] == [one["verdicts"] for one in same]
            set_id = ask(client, {}, count=12, seed=2)
            os.kill(own_process(REPLICAS), signal.SIGKILL)
            time.sleep(0.1)
            found = wait(client, set_id, {})
            assert (found["state"], found["accepted"]) == ("done", 12), found
    finally:
        serve.delete(NAME)
        serve.shutdown()
