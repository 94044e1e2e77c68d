"""A stand-in for a W&B server, small and real: HTTP on the loopback, one thread per request.

It knows what an online run of metrics asks for: GraphQL for the viewer, the run and its files, and
the file stream that carries history, summary and the exit code. It can be told to answer with
HTTP 500, to answer nothing, or to vanish.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

ENTITY = "tester"
Fault = Literal["error", "hang"]


class WandbServer(ThreadingHTTPServer):
    """Serves until ``vanish``; ``runs`` maps run ids to what arrived."""

    daemon_threads = True
    # A vanished server does not wait for requests that hang.
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.fault: Fault | None = None
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def vanish(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def history(self, run_id: str) -> list[dict[str, Any]]:
        lines = self.runs[run_id]["files"].get("wandb-history.jsonl", {})
        return [json.loads(lines[offset]) for offset in sorted(lines)]

    def summary(self, run_id: str) -> dict[str, Any]:
        lines = self.runs[run_id]["files"].get("wandb-summary.json", {})
        return json.loads(lines[max(lines)]) if lines else {}

    def run(self, run_id: str, project: str = "") -> dict[str, Any]:
        new = {"project": project, "config": {}, "group": None, "files": {}, "exit": None}
        return self.runs.setdefault(run_id, new)

    def stream(self, run_id: str, chunk: dict[str, Any]) -> dict[str, Any]:
        run = self.run(run_id)
        for name, part in (chunk.get("files") or {}).items():
            lines = run["files"].setdefault(name, {})
            lines |= {part["offset"] + i: line for i, line in enumerate(part["content"])}
        if chunk.get("complete"):
            run["exit"] = chunk["exitcode"]
        return {"exitcode": None, "limits": {}}

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        if operation == "Viewer":
            return {"viewer": {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}"}}
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "RunResumeStatus":
            return {
                "model": {"id": "p", "name": "p", "entity": _ENTITY, "bucket": self._bucket(given)}
            }
        if operation == "UpsertBucket":
            return {"upsertBucket": {"bucket": self._upsert(given), "inserted": True}}
        if operation == "CreateRunFiles":
            files = [{"name": n, "uploadUrl": f"{self.url}/storage/{n}"} for n in given["files"]]
            run = {"runID": given["run"], "uploadHeaders": [], "files": files}
            return {"createRunFiles": run}
        return {}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("name") or given["id"]
        run = self.run(name, given.get("project") or "")
        run["group"] = given.get("groupName") or run["group"]
        if given.get("config"):
            run["config"] = json.loads(given["config"])
        project = {"id": "p", "name": run["project"], "entity": _ENTITY}
        return {
            "id": name,
            "name": name,
            "displayName": name,
            "config": json.dumps(run["config"]),
            "historyLineCount": len(run["files"].get("wandb-history.jsonl", {})),
            "project": project,
        }

    def _bucket(self, given: dict[str, Any]) -> dict[str, Any] | None:
        if given["name"] not in self.runs:
            return None
        history = self.history(given["name"])
        return {
            "id": given["name"],
            "name": given["name"],
            "summaryMetrics": json.dumps(self.summary(given["name"])),
            "displayName": given["name"],
            "logLineCount": 0,
            "historyLineCount": len(history),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in history[-1:]]),
            "eventsTail": "[]",
            "config": json.dumps(self.runs[given["name"]]["config"]),
            "tags": [],
            "wandbConfig": json.dumps({"t": 1}),
        }


_ENTITY = {"id": "e", "name": ENTITY}


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.fault == "hang":
            self.server.released.wait(120)
            self.close_connection = True
            return
        if self.server.fault == "error":
            self._reply(500, {"error": "told to"})
            return
        if not self.path.endswith(("/graphql", "/file_stream")):
            self._reply(404, {})
            return
        content = json.loads(body or b"{}")
        if self.path.endswith("/file_stream"):
            self._reply(200, self.server.stream(self.path.split("/")[-2], content))
            return
        given = content.get("variables") or {}
        found = re.search(r"\b(?:query|mutation)\s+(\w+)", content["query"])
        operation = content.get("operationName") or (found.group(1) if found else "")
        given = given["input"] if set(given) == {"input"} else given
        self._reply(200, {"data": self.server.answer(operation, given)})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._reply(200, {})

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def _reply(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)
