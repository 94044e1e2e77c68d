"""Throughput and latency of the evaluation service under load, beside a bare web application.

``python -m benchmarks.service --json`` starts ``millsight serve evaluation`` over procedural
pictures with one submitted run, and beside it a FastAPI application that answers with the same
bytes from memory: what the framework costs by itself. Clients are raw connections that send the
next request when the answer is there, as wrk's do. Per page and number of clients: requests per
second, latency (median, 99th percentile) and the share of the bare application's throughput,
measured right before it in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

CLIENTS = (1, 8, 64)
DATASET = "procedural"
BARE = """
import sys
from pathlib import Path
import uvicorn
from fastapi import FastAPI, Response

app = FastAPI()
content = Path(sys.argv[2]).read_bytes()


@app.get("/")
async def answer() -> Response:
    return Response(content, media_type="application/json")


uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load per number of clients")
    parser.add_argument("--pictures", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments.pictures, arguments.seconds)
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{'page':12} {'clients':>7} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'of bare':>8}")
    for row in rows:
        print(
            f"{row['page']:12} {row['clients']:7} {row['per_second']:8.0f} {row['p50_ms']:8.1f} "
            f"{row['p99_ms']:8.1f} {row['share_of_bare']:8.2f}"
        )


def measure(folder: Path, pictures: int, seconds: float) -> list[dict[str, Any]]:
    """Load every page of a filled service, and the bare application with the same bytes."""
    rows = []
    with serving(folder, pictures) as (client, port):
        run = submit(client)
        listed = client.get(f"/runs/{run}/pictures?limit=100").json()["items"]
        first = listed[0]["sample_id"]
        pages = {
            "leaderboard": f"/leaderboard?dataset={DATASET}",
            "gallery": f"/runs/{run}/pictures?limit=100",
            "thumbnail": f"/datasets/{DATASET}/pictures/{first}?size=thumbnail",
        }
        for page, path in pages.items():
            content = folder / "content"
            content.write_bytes(client.get(path).content)
            with bare(content) as bare_port:
                for clients in CLIENTS:
                    floor = asyncio.run(load(bare_port, "/", clients, seconds))
                    found = asyncio.run(load(port, path, clients, seconds))
                    share = found["per_second"] / floor["per_second"]
                    row = {"page": page, "bytes": content.stat().st_size, "clients": clients}
                    rows.append(row | found | {"share_of_bare": round(share, 3)})
    return rows


async def load(port: int, path: str, clients: int, seconds: float) -> dict[str, float]:
    """Let ``clients`` connections ask as fast as they get answers.

    Raises:
        RuntimeError: If an answer is anything but 200.
    """
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        while (start := time.perf_counter()) < end:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(f"{path}: {head.decode()}")
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            latencies.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    latencies.sort()
    return {
        "per_second": round(len(latencies) / seconds, 1),
        "p50_ms": round(1e3 * latencies[len(latencies) // 2], 2),
        "p99_ms": round(1e3 * latencies[int(0.99 * len(latencies))], 2),
    }


@contextmanager
def serving(folder: Path, pictures: int) -> Iterator[tuple[httpx.Client, int]]:
    """Run the service over freshly rendered pictures."""
    data, port = folder / "pictures", free_port()
    words = ["generate", "procedural", "--count", str(pictures), "--size", "128"]
    subprocess.run([*millsight(), *words, "--output", str(data)], check=True, capture_output=True)
    settings = {
        "port": port,
        "folder": str(folder / "service"),
        "datasets": [{"name": DATASET, "data": str(data), "labels": "open"}],
        "requests_per_second": 1e9,
        "request_burst": 10**9,
    }
    config = folder / "service.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [*millsight(), "serve", "evaluation", "--config", str(config)]
    with background(command), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        wait(client, "/readyz")
        yield client, port


def submit(client: httpx.Client) -> str:
    """Submit a score for every picture; return the run."""
    pictures: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 100} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"/datasets/{DATASET}/pictures", params=query).json()
        pictures += page["items"]
        cursor = page["next_cursor"]
    lines = [f"{p['file']},{(number * 37 % 101) / 101}" for number, p in enumerate(pictures)]
    body = "\n".join(["file,score", *lines])
    headers = {"Content-Type": "text/csv"}
    address = f"/datasets/{DATASET}/runs?name=load"
    job = client.post(address, content=body, headers=headers).raise_for_status().json()["id"]
    while (state := client.get(f"/jobs/{job}").json())["state"] in ("queued", "running"):
        time.sleep(0.2)
    if state["result"] is None:
        raise RuntimeError(state["error"])
    return str(state["result"]["run"])


@contextmanager
def bare(content: Path) -> Iterator[int]:
    """Run the bare application."""
    port = free_port()
    command = [sys.executable, "-c", BARE, str(port), str(content)]
    with background(command), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        wait(client, "/")
        yield port


@contextmanager
def background(command: list[str]) -> Iterator[None]:
    """Run a command until the block ends."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, **quiet)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def wait(client: httpx.Client, path: str, seconds: float = 60) -> None:
    """Wait until an address answers with 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if client.get(path).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{client.base_url}{path} does not answer")


def millsight() -> list[str]:
    """Return the command's words in this environment."""
    return [sys.executable, "-m", "millsight.platform.cli"]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    main()
