"""Routes of the sets: what can be asked for, asking, looking, deleting, taking away."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict
from starlette.background import BackgroundTask

from millsight.generators.export.formats import Format
from millsight.generators.service.admission import admit
from millsight.generators.service.asking import settle
from millsight.generators.service.handler import KIND
from millsight.generators.service.option_views import CostView, OptionsView
from millsight.generators.service.options import options, usage
from millsight.generators.service.request import SetRequest
from millsight.generators.service.set_views import set_detail, set_view
from millsight.generators.service.state import Generation, SetId, may_change
from millsight.generators.service.views import SetDetail, SetView
from millsight.platform.services.auth import Reader, Submitter
from millsight.platform.services.job_view import JobView
from millsight.platform.services.jobs import ENDED, Job
from millsight.platform.services.jobs_api import IdempotencyKey, submit_job
from millsight.platform.services.paging import Page, PageQuery, decode_cursor, encode_cursor
from millsight.platform.services.problems import ProblemError
from millsight.platform.services.state import Service

logger = logging.getLogger(__name__)
router = APIRouter(tags=["sets"])


class SetsQuery(PageQuery):
    """Which sets to list.

    Attributes:
        mine: Only the caller's own.
    """

    mine: bool = False


class ArchiveQuery(BaseModel):
    """How a set is packed.

    Attributes:
        format: Layout of the set in the archive.
        which: undropped for all accepted pictures that nobody dropped, kept for those kept by hand.
    """

    model_config = ConfigDict(extra="forbid")
    format: Format = "folder"
    which: Literal["undropped", "kept"] = "undropped"


@router.get("/options")
def show_options(state: Generation, token: Reader) -> OptionsView:
    """Show what can be asked for, and what of the day's budget is left."""
    return options(state, token)


@router.post("/cost")
def show_cost(state: Generation, token: Reader, body: SetRequest) -> CostView:
    """Check a request and say what it would take; nothing is made."""
    asked = settle(state, body, token)
    return CostView(
        megapixel_steps=asked.reserved,
        megapixel_steps_each=asked.each,
        left=usage(state, token).megapixel_steps_left,
        request=asked.body,
    )


@router.post("/sets", status_code=HTTPStatus.ACCEPTED)
def request_set(
    *,
    request: Request,
    response: Response,
    service: Service,
    state: Generation,
    token: Submitter,
    body: SetRequest,
    key: IdempotencyKey = None,
) -> JobView:
    """Ask for a set; its id is the job's."""
    earlier = service.jobs.by_key(token.id, key)
    if earlier is not None and body.seed is None:
        # Sent again with its key it is the same request, which a new seed would make another.
        body = body.model_copy(update={"seed": earlier.request["body"]["seed"]})
    asked = settle(state, body, token)

    def submit() -> Job:
        cost = asked.body["count"]
        return submit_job(request, response, token, KIND, asked.to_dict(), key=key, cost=cost)

    job = admit(state, service, asked, token, key=key, submit=submit)
    logger.info("set %s: asked for by %s", job.id, token.id)
    return JobView.of(job)


@router.get("/sets")
def list_sets(
    service: Service, state: Generation, token: Reader, query: Annotated[SetsQuery, Query()]
) -> Page[SetView]:
    """List sets, newest first."""
    before = None if query.cursor is None else int(decode_cursor(query.cursor, int)[0])
    owner = token.id if query.mine else None
    found = state.sets.page(query.limit + 1, before=before, owner=owner)
    more = encode_cursor(found[query.limit - 1].seq) if len(found) > query.limit else None
    shown = [set_view(state, service, one, token) for one in found[: query.limit]]
    return Page(items=shown, next_cursor=more)


@router.get("/sets/{set_id}")
def show_set(service: Service, state: Generation, token: Reader, set_id: SetId) -> SetDetail:
    """Show a set with what became of its tries."""
    return set_detail(state, service, state.sets.get(set_id), token)


@router.delete("/sets/{set_id}", status_code=HTTPStatus.NO_CONTENT)
def delete_set(service: Service, state: Generation, token: Submitter, set_id: SetId) -> Response:
    """Delete a set of one's own, or as admin anybody's."""
    state.own(set_id, token)
    if service.jobs.get(set_id).state not in ENDED:
        raise ProblemError(HTTPStatus.CONFLICT, "The set is in the making: cancel its job first.")
    state.sets.delete(set_id)
    logger.info("set %s: deleted by %s", set_id, token.id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(
    "/sets/{set_id}/archive",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def download_set(
    state: Generation, token: Reader, set_id: SetId, query: Annotated[ArchiveQuery, Query()]
) -> Response:
    """Send a set as a zip archive, with its data card; the owner begins its last days by it."""
    found = state.sets.get(set_id)
    path = state.archives.pack(found, query.format, query.which)
    if may_change(found, token):
        state.sets.note_download(set_id)
    name = f"millsight-{set_id[:12]}-{query.format}.zip"
    return FileResponse(
        path,
        media_type="application/zip",
        filename=name,
        headers={"Cache-Control": "no-store"},
        background=BackgroundTask(path.unlink, missing_ok=True),
    )
