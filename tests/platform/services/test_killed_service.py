"""A real server process: followed, killed with -9 in the middle of its jobs, started again."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

HERE = Path(__file__).parent
Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def client(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield client


@pytest.fixture
def start(tmp_path: Path, port: int, client: httpx.Client) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []
    log = tmp_path / "log"

    def run() -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "counting_service.py"), str(tmp_path), str(port)]
        with log.open("a") as file:
            started.append(subprocess.Popen(command, stderr=file, text=True))
        deadline = time.monotonic() + 30
        while True:
            try:
                client.get("/healthz")
                return started[-1]
            except httpx.TransportError:
                assert started[-1].poll() is None, log.read_text()
                assert time.monotonic() < deadline, "the service does not come up"
                time.sleep(0.05)

    yield run
    for process in started:
        process.kill()
        process.wait()


def events(client: httpx.Client, job: str, last: str | None = None) -> Iterator[dict[str, Any]]:
    """Read a stream as an EventSource does."""
    headers = {"Last-Event-ID": last} if last else {}
    event: dict[str, Any] = {}
    with client.stream("GET", f"/jobs/{job}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name in {"id", "event", "data"}:
                event[name] = value
            elif not line and "id" in event:
                yield event | {"data": json.loads(event["data"])}
                event = {}


def submit(client: httpx.Client, steps: int, key: str) -> str:
    body = {"steps": steps, "step_s": 0.05}
    answer = client.post("/counts", json=body, headers={"Idempotency-Key": key})
    assert answer.status_code in {200, 202}
    return str(answer.json()["id"])


def check_open_stream(client: httpx.Client, job: str) -> None:
    """The service answers others while one follows, and notices when that one goes away."""
    with client.stream("GET", f"/jobs/{job}/events") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        assert client.get("/readyz").status_code == 200
        text = client.get("/metrics").text
        assert "millsight_event_streams 1.0" in text
        assert 'millsight_jobs{state="running"} 1.0' in text
    deadline = time.monotonic() + 5
    while "millsight_event_streams 0.0" not in client.get("/metrics").text:
        assert time.monotonic() < deadline, "a client that went away is still counted"
        time.sleep(0.1)


def test_nothing_is_lost_or_doubled(start: Start, client: httpx.Client) -> None:
    process = start()
    jobs = [submit(client, steps, f"key-{steps}") for steps in (30, 2, 3)]
    stream = events(client, jobs[0])
    seen = next(event for event in stream if event["data"]["done"] >= 4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(httpx.TransportError):
        list(stream)

    start()
    again = [submit(client, steps, f"key-{steps}") for steps in (30, 2, 3)]
    assert again == jobs, "the keys are remembered"
    rest = list(events(client, jobs[0], seen["id"]))
    versions = [int(event["id"]) for event in rest]
    assert versions[0] > int(seen["id"])
    assert versions == sorted(set(versions))
    assert rest[-1]["event"] == "done"
    assert rest[-1]["data"]["result"]["counted"] == 30
    for job in jobs[1:]:
        assert list(events(client, job))[-1]["event"] == "done"
    found = client.get("/jobs").json()["items"]
    assert [job["id"] for job in found] == jobs[::-1]
    # The first was begun twice; the others, which had waited, once.
    assert [job["attempts"] for job in found] == [1, 1, 2]


def test_a_polite_end_puts_the_job_back_and_a_finished_stream_is_over(
    start: Start, client: httpx.Client, tmp_path: Path
) -> None:
    process = start()
    short, long = submit(client, 1, "short"), submit(client, 400, "long")
    last = list(events(client, short))[-1]
    over = client.get(f"/jobs/{short}/events", headers={"Last-Event-ID": last["id"]})
    assert over.status_code == 204, "an EventSource does not come back after this"
    next(event for event in events(client, long) if event["data"]["done"] >= 2)
    check_open_stream(client, long)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) in {0, -signal.SIGINT, 130}
    assert "Traceback" not in (tmp_path / "log").read_text()

    start()
    job = client.get(f"/jobs/{long}").json()
    assert job["attempts"] <= 1, "a shutdown is no attempt"
    assert client.post(f"/jobs/{long}/cancel").status_code == 200


def test_heartbeats_and_the_limit_of_streams(tmp_path: Path) -> None:
    import asyncio

    from millsight.platform.services.database import Database
    from millsight.platform.services.events import EventStreams
    from millsight.platform.services.jobs import JobStore
    from millsight.platform.services.problems import TooManyRequestsError

    jobs = JobStore(Database(tmp_path / "service.db"))
    job = jobs.submit("count", {}, owner="x")[0].id
    streams = EventStreams(jobs, max_streams=1, heartbeat_s=0.3)

    async def follow() -> list[bytes]:
        parts = []
        async for part in streams.response(job, "1").body_iterator:  # type: ignore[attr-defined]
            parts.append(part)
            if len(parts) == 3:
                with pytest.raises(TooManyRequestsError):
                    streams.response(job, None)
                jobs.cancel(job)
        return parts

    parts = asyncio.run(follow())
    assert parts[0] == b"retry: 2000\n\n"
    assert parts[1:3] == [b": still here\n\n"] * 2
    assert parts[-1].startswith(b"id: 2\nevent: cancelled\n")
    assert streams.open == 0
