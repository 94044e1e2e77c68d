"""A real headless Chromium, driven by the Chrome DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
)
CODES = {"Enter": 13, "Escape": 27, "Tab": 9, "PageDown": 34, "End": 35, "Home": 36, " ": 32}
CODES |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
TEXTS = {"Enter": "\r"}


class Chromium:
    """One browser with one tab.

    Attributes:
        errors: What the console said with level error, and uncaught exceptions.
        hosts: Hosts that the page asked for anything.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self._numbers = itertools.count(1)
        command = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._tab = self._connect(folder / "DevToolsActivePort")
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        # Processor time, which a busy machine does not stretch.
        self.send("Performance.enable", timeDomain="threadTicks")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tab.close()
        self._process.terminate()
        self._process.wait(10)

    def _connect(self, port_file: Path) -> ClientConnection:
        deadline = time.monotonic() + 20
        while not (port_file.is_file() and "\n" in port_file.read_text()):
            assert time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.05)
        port, path = port_file.read_text().splitlines()[:2]
        browser = connect(f"ws://127.0.0.1:{port}{path}", max_size=None)
        made = self._ask(browser, "Target.createTarget", {"url": "about:blank"})
        browser.close()
        page = f"ws://127.0.0.1:{port}/devtools/page/{made['targetId']}"
        return connect(page, max_size=None, ping_interval=None)

    def _ask(self, tab: ClientConnection, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        tab.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(tab.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message["method"], message.get("params", {})
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if url.startswith("http"):
                self.hosts.add(url.split("/")[2])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:600])
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(json.dumps(params["args"])[:600])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command to the tab and return its result."""
        return self._ask(self._tab, method, params)

    def run(self, script: str) -> Any:
        """Evaluate JavaScript in the page, awaiting a promise, and return its JSON value."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is truthy."""
        deadline = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"waited in vain for {condition}: {self.errors}"
            time.sleep(0.03)

    def open(self, url: str, ready: str = "!document.body.classList.contains('busy')") -> None:
        """Load an address anew and wait until the page is ready."""
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=url)
        self.wait(f"document.querySelector('main')?.children.length && ({ready})")

    def press(self, *keys: str) -> None:
        """Press keys one after the other, named as in ``KeyboardEvent.key``."""
        for key in keys:
            text = TEXTS.get(key, key if len(key) == 1 else "")
            code = CODES.get(key, ord(key.upper()) if len(key) == 1 and key.isalnum() else 0)
            params: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
            if text:
                params["text"] = text
            kind = "keyDown" if text else "rawKeyDown"
            self.send("Input.dispatchKeyEvent", type=kind, **params)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def effort(self) -> float:
        """Seconds of processor time that the page has spent on scripts, styles and layout."""
        listed = self.send("Performance.getMetrics")["metrics"]
        spent = {metric["name"]: float(metric["value"]) for metric in listed}
        return sum(spent[f"{part}Duration"] for part in ("Script", "RecalcStyle", "Layout"))

    def screen(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the screen's size and the system's colour scheme."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write a screenshot, of the whole page if asked, as PNG."""
        taken = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))
