"""A real service process, as the command line starts it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import yaml


class ServiceProcess:
    """Starts, finds and ends the service on a free port.

    Args:
        kind: What it serves: evaluation or generation.
        folder: Of the service, and of its log and settings.
        settings: Further settings, JSON-like.
    """

    def __init__(self, kind: str, folder: Path, **settings: Any) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        self.kind = kind
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self._config = folder.with_suffix(".yaml")
        content = {"folder": str(folder), "port": port, **settings}
        self._config.write_text(yaml.safe_dump(content))
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "millsight.platform.cli", "serve", self.kind]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--config", str(self._config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client.get("/healthz")
                return
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, "the service does not come up"
                time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def children(self) -> list[int]:
        """Processes that judge submissions of this service."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if str((entry / "cwd").readlink()).startswith(str(self.folder / "work")):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def memory(self) -> int:
        """Most memory that the service has held so far, in bytes."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise ValueError("no VmHWM")

    def wait(self, job: str, seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            found: dict[str, Any] = self.client.get(f"/jobs/{job}").json()
            if found["state"] not in {"queued", "running"}:
                return found
            assert time.monotonic() < deadline, f"waited in vain: {found}"
            time.sleep(0.05)
