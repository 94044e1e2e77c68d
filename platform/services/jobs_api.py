"""The routes every service has for its jobs: list, look, follow, cancel."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import Field

from millsight.platform.services.auth import Reader, Submitter
from millsight.platform.services.job_view import JobView
from millsight.platform.services.jobs import Job, JobState
from millsight.platform.services.paging import Page, PageQuery, decode_cursor, encode_cursor
from millsight.platform.services.problems import ProblemError
from millsight.platform.services.state import Service, service_of
from millsight.platform.services.tokens import Scope, Token

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern="^[!-~]{1,200}$",
        description="Sent again with the same request, it gives the same job.",
    ),
]


class JobQuery(PageQuery):
    """Which jobs to list.

    Attributes:
        state: Only in these states.
        kind: Only of these kinds.
        mine: Only the caller's own.
    """

    state: list[JobState] = Field(default=[], max_length=len(JobState))
    kind: list[str] = Field(default=[], max_length=20)
    mine: bool = False


router = APIRouter(tags=["jobs"])


def submit_job(
    request: Request,
    response: Response,
    token: Token,
    kind: str,
    body: dict[str, Any],
    *,
    key: str | None,
    cost: float = 1,
) -> Job:
    """Queue a job for a room's own route, which declares ``status_code=202``.

    Sets ``Location``, and status 200 instead where the idempotency key names a job already there.

    Args:
        request: The request.
        response: The route's injected response.
        token: Who asks.
        kind: Which handler works on it.
        body: JSON-like; uploads by their hash. A ``title`` in it is shown with the job.
        key: The idempotency key.
        cost: In pictures.

    Raises:
        ProblemError: As ``JobStore.submit``.
    """
    service = service_of(request)
    job, is_new = service.jobs.submit(kind, body, owner=token.id, key=key, cost=cost)
    response.headers["Location"] = request.app.url_path_for("show_job", job=job.id)
    if not is_new:
        response.status_code = HTTPStatus.OK
    service.worker.wake()
    return job


# Reads run on the event loop: they take less time than the way to a thread and back.
@router.get("/jobs")
async def list_jobs(
    service: Service, token: Reader, query: Annotated[JobQuery, Query()]
) -> Page[JobView]:
    """List jobs, newest first; jobs that come meanwhile move no page."""
    before = None if query.cursor is None else int(decode_cursor(query.cursor, int)[0])
    jobs = service.jobs.page(
        query.limit + 1,
        before=before,
        kinds=query.kind,
        states=query.state,
        owner=token.id if query.mine else None,
    )
    more = encode_cursor(jobs[query.limit - 1].seq) if len(jobs) > query.limit else None
    return Page(items=[JobView.of(job) for job in jobs[: query.limit]], next_cursor=more)


@router.get("/jobs/{job}")
async def show_job(service: Service, token: Reader, job: JobId) -> JobView:
    """Show where a job stands."""
    return JobView.of(service.jobs.get(job))


@router.get("/jobs/{job}/events", response_class=Response)
async def follow_job(
    service: Service,
    token: Reader,
    job: JobId,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """Follow a job as Server-Sent Events; Last-Event-ID takes up where a stream broke off."""
    return service.streams.response(job, last_event_id)


@router.post("/jobs/{job}/cancel")
def cancel_job(service: Service, token: Submitter, job: JobId) -> JobView:
    """End a job of one's own, or as admin anybody's; one that has ended stays as it is."""
    if service.jobs.get(job).owner != token.id and not token.allows(Scope.ADMIN):
        raise ProblemError(HTTPStatus.FORBIDDEN, "Only its owner or an admin may cancel a job.")
    return JobView.of(service.jobs.cancel(job))
