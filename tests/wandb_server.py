"""A stand-in for a W&B server, small and real: FastAPI and uvicorn on the loopback, in a thread.

It knows what online runs, tables, pictures, ``wandb sync``, workspaces and reports ask for: GraphQL
for the viewer, runs, artifacts and views, the file stream that carries history, summary and exit
code, and a store for uploaded files. It can be told to answer with an HTTP error, to answer
nothing, to fail single operations, or to vanish.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI, Request, Response

ENTITY = "tester"
Fault = Literal["error", "hang"] | int
Given = dict[str, Any]

_ENTITY = {"id": "e", "name": ENTITY}


class WandbServer:
    """Serves until ``vanish``.

    Attributes:
        runs: What arrived, by run id.
        artifacts: Type, name, manifest and state, by artifact id.
        blobs: Uploaded files, by key.
        views: Saved workspaces and reports, by id.
        fault: What every request gets instead of an answer: an HTTP status, ``"error"`` (500), or
            ``"hang"``.
        fault_at: The fault meets only requests whose path ends so; by default every one.
        answers: What operations of GraphQL's get instead of an answer, by their names.
        room: How many rows of a run's history are kept; those after them are taken and thrown away.
        unknown: Operations asked for that this server does not know.
    """

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.fault: Fault | None = None
        self.fault_at = ""
        self.answers: dict[str, dict[str, Any]] = {}
        self.room: int | None = None
        self.unknown: list[str] = []
        config = uvicorn.Config(self._app(), host="127.0.0.1", port=0, log_level="critical")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def vanish(self) -> None:
        """Close every connection and the port at once."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()

    def history(self, run_id: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._lines(run_id, "wandb-history.jsonl")]

    def summary(self, run_id: str) -> dict[str, Any]:
        lines = self._lines(run_id, "wandb-summary.json")
        return json.loads(lines[-1]) if lines else {}

    def table(self, run_id: str, name: str) -> dict[str, Any]:
        """The content of a table that has arrived, by the reference in the run's summary."""
        path = self.summary(run_id)[name]["artifact_path"].removeprefix("wandb-client-artifact://")
        client, _, file = path.partition("/")
        (artifact,) = [a for a in self.artifacts.values() if a["client"] == client]
        return json.loads(self.blobs[f"artifact/{artifact['id']}/{file}"])

    def _lines(self, run_id: str, file: str) -> list[str]:
        lines = self.runs[run_id]["files"].get(file, {})
        return [lines[offset] for offset in sorted(lines)]

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.middleware("http")(self._break)
        app.post("/graphql")(self._graphql)
        app.post("/files/{entity}/{project}/{run_id}/file_stream")(self._stream)
        app.put("/storage/{key:path}")(self._keep)
        return app

    async def _break(
        self, request: Request, go_on: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        struck = request.url.path.endswith(self.fault_at)
        if struck and self.fault == "hang":
            await asyncio.sleep(120)
        if struck and self.fault is not None:
            return Response("told to", 500 if isinstance(self.fault, str) else self.fault)
        return await go_on(request)

    async def _keep(self, key: str, request: Request) -> Response:
        self.blobs[key] = await request.body()
        return Response()

    async def _stream(self, run_id: str, request: Request) -> dict[str, Any]:
        chunk = await _content(request)
        run = self._run(run_id)
        for name, part in (chunk.get("files") or {}).items():
            lines = run["files"].setdefault(name, {})
            room = self.room if name == "wandb-history.jsonl" else None
            arriving = enumerate(part["content"], part["offset"])
            lines |= {at: line for at, line in arriving if room is None or at < room}
        if chunk.get("complete"):
            run["exit"] = chunk["exitcode"]
        return {"exitcode": None, "limits": {}}

    async def _graphql(self, request: Request) -> dict[str, Any]:
        content = await _content(request)
        given = content.get("variables") or {}
        found = re.search(r"\b(?:query|mutation)\s+(\w+)", content["query"])
        operation = content.get("operationName") or (found.group(1) if found else "")
        given = given["input"] if set(given) == {"input"} else given
        if operation in self.answers:
            return self.answers[operation]
        answer = getattr(self, f"_on_{operation}", None)
        if answer is None:
            self.unknown.append(operation)
            return {"data": {}}
        return {"data": answer(given)}

    def _run(self, run_id: str, project: str = "") -> dict[str, Any]:
        new = {"project": project, "config": {}, "group": None, "files": {}, "exit": None}
        return self.runs.setdefault(run_id, new)

    def _on_Viewer(self, given: Given) -> dict[str, Any]:
        user = {"id": "u", "entity": ENTITY, "username": ENTITY, "name": ENTITY, "flags": "{}"}
        return {"viewer": user | {"email": "", "admin": False, "teams": {"edges": []}}}

    _on_GetViewer = _on_GetDefaultEntity = _on_Query = _on_Viewer

    def _on_ServerFeaturesQuery(self, given: Given) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _on_RunResumeStatus(self, given: Given) -> dict[str, Any]:
        bucket = self._bucket(given["name"]) if given["name"] in self.runs else None
        return {"model": {"id": "p", "name": "p", "entity": _ENTITY, "bucket": bucket}}

    def _on_UpsertBucket(self, given: Given) -> dict[str, Any]:
        name = given.get("name") or given["id"]
        run = self._run(name, given.get("project") or "")
        run["group"] = given.get("groupName") or run["group"]
        if given.get("config"):
            run["config"] = json.loads(given["config"])
        project = {"id": "p", "name": run["project"], "entity": _ENTITY}
        bucket = self._bucket(name) | {"project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _on_Rows(self, given: Given) -> dict[str, Any]:
        bucket = self._bucket(given["run"]) if given["run"] in self.runs else None
        return {"project": {"run": bucket}}

    def _bucket(self, run_id: str) -> dict[str, Any]:
        history = self._lines(run_id, "wandb-history.jsonl")
        return {
            "id": run_id,
            "name": run_id,
            "summaryMetrics": json.dumps(self.summary(run_id)),
            "displayName": run_id,
            "logLineCount": 0,
            "historyLineCount": len(history),
            "eventsLineCount": 0,
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": "[]",
            "config": json.dumps(self.runs[run_id]["config"]),
            "tags": [],
            "wandbConfig": json.dumps({"t": 1}),
        }

    def _on_GetProjects(self, given: Given) -> dict[str, Any]:
        page = {"endCursor": None, "hasNextPage": False}
        names = sorted({run["project"] for run in self.runs.values()})
        user = {"id": "u", "name": ENTITY, "username": ENTITY, "email": "", "admin": False}
        common = {"entityName": ENTITY, "createdAt": "", "isBenchmark": False, "user": user}
        edges = [{"node": {"id": name, "name": name, **common}} for name in names]
        return {"models": {"pageInfo": page, "edges": edges}}

    def _on_ProjectInternalId(self, given: Given) -> dict[str, Any]:
        return {"project": {"id": "p", "internalId": "7"}}

    def _on_UpsertView2(self, given: Given) -> dict[str, Any]:
        key = given.get("id") or f"v{len(self.views)}"
        self.views[key] = given
        view = {"id": key, "name": given.get("name") or key, "displayName": given["displayName"]}
        project = {"id": "p", "name": given["projectName"], "entityName": given["entityName"]}
        view |= {"type": given["type"], "description": "", "spec": given["spec"]}
        view |= {"project": project, "updatedAt": None}
        return {"upsertView": {"view": view, "inserted": True}}

    # By wandb-workspaces for workspaces and for reports.
    _on_upsertView = _on_UpsertView2  # noqa: N815

    def _on_CreateRunFiles(self, given: Given) -> dict[str, Any]:
        files = [
            {"name": name, "uploadUrl": f"{self.url}/storage/run/{given['run']}/{name}"}
            for name in given["files"]
        ]
        run = {"runID": given["run"], "uploadHeaders": [], "files": files}
        return {"createRunFiles": run}

    def _on_CreateArtifact(self, given: Given) -> dict[str, Any]:
        key = f"a{len(self.artifacts)}"
        self.artifacts[key] = {
            "id": key,
            "type": given["artifactTypeName"],
            "client": given.get("clientID"),
            "digest": given["digest"],
            "state": "PENDING",
        }
        sequence = {"latestArtifact": None}
        artifact = {"id": key, "state": "PENDING", "artifactSequence": sequence}
        return {"createArtifact": {"artifact": artifact}}

    def _on_ArtifactType(self, given: Given) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def _on_CreateArtifactManifest(self, given: Given) -> dict[str, Any]:
        url = f"{self.url}/storage/manifest/{given['artifactID']}"
        file = {"id": "f", "uploadUrl": url, "uploadHeaders": []}
        manifest = {"id": given["artifactID"], "file": file}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def _on_CreateArtifactFiles(self, given: Given) -> dict[str, Any]:
        edges = [{"node": self._place(file)} for file in given["artifactFiles"]]
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _place(self, file: dict[str, Any]) -> dict[str, Any]:
        key = f"artifact/{file['artifactID']}/{file['name']}"
        return {
            "storagePath": key,
            "uploadUrl": f"{self.url}/storage/{key}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": file["artifactID"]},
        }

    def _on_CommitArtifact(self, given: Given) -> dict[str, Any]:
        artifact = self.artifacts[given["artifactID"]]
        artifact["state"] = "COMMITTED"
        committed = {"id": artifact["id"], "digest": artifact["digest"]}
        return {"commitArtifact": {"artifact": committed}}


async def _content(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    content: dict[str, Any] = json.loads(body or b"{}")
    return content
