"""A small real service: its jobs count to a number, and its uploads are unpacked."""

from __future__ import annotations

import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from millsight.platform.errors import UserError
from millsight.platform.services.app import create_service_app
from millsight.platform.services.archives import extract_zip
from millsight.platform.services.auth import Administrator, Reader, Submitter
from millsight.platform.services.config import ServiceConfig
from millsight.platform.services.job_view import JobView
from millsight.platform.services.jobs import Job
from millsight.platform.services.jobs_api import IdempotencyKey, submit_job
from millsight.platform.services.state import Service
from millsight.platform.services.uploads import save_body
from millsight.platform.services.worker import Progress

router = APIRouter()


class CountRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    steps: int = Field(ge=0, le=10_000)
    step_s: float = Field(default=0.0, ge=0, le=1)
    trouble: str | None = None


@router.post("/counts", status_code=HTTPStatus.ACCEPTED)
def count(
    body: CountRequest,
    request: Request,
    response: Response,
    token: Submitter,
    key: IdempotencyKey = None,
) -> JobView:
    """Count to a number."""
    asked = body.model_dump()
    cost = max(1, body.steps)
    return JobView.of(submit_job(request, response, token, "count", asked, key=key, cost=cost))


@router.put("/archives")
async def upload(request: Request, token: Submitter, service: Service) -> dict[str, int]:
    """Take a zip archive."""
    saved = await save_body(request.stream(), service.uploads)
    folder = service.uploads / f"{saved.sha256}.files"
    return {"files": len(extract_zip(saved.path, folder)), "bytes": saved.size}


@router.post("/echo")
async def echo(body: dict[str, Any], token: Reader) -> dict[str, Any]:
    """Give the body back."""
    return body


@router.get("/slow")
def slow(token: Reader) -> dict[str, str]:
    """Take a while."""
    time.sleep(0.5)
    return {"status": "done"}


@router.get("/bug")
def bug(token: Administrator) -> None:
    """Fail as only a bug does."""
    raise RuntimeError("the secret inside")


@router.get("/refused")
def refused(token: Reader) -> None:
    """Fail by the user's hand."""
    raise UserError("--data names nothing: give a folder")


def count_job(job: Job, progress: Progress) -> dict[str, Any]:
    steps, trouble = job.request["steps"], job.request["trouble"]
    if trouble == "user":
        raise UserError("--steps is odd: make it even")
    if trouble == "bug":
        raise RuntimeError("the count is wrong")
    for step in range(steps):
        progress.report(step, steps, f"step {step}")
        time.sleep(job.request["step_s"])
    return {"counted": steps, "mean": float("nan")}


def create(folder: Path, **settings: Any) -> FastAPI:
    return create_service_app(
        "Counting",
        ServiceConfig(folder=folder, **settings),
        routers=[router],
        handlers={"count": count_job},
        upload_paths=["/archives"],
    )


if __name__ == "__main__":
    app = create(Path(sys.argv[1]), lease_s=1.5)
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", timeout_graceful_shutdown=3)
