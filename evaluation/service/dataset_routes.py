"""Routes of the registered datasets: what there is to predict, and sending predictions."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from millsight.evaluation.service.datasets import Dataset
from millsight.evaluation.service.state import DatasetId, Evaluation, EvaluationState, SampleId
from millsight.evaluation.service.submission import Decide
from millsight.evaluation.service.views import DatasetPicture, DatasetView
from millsight.evaluation.service.visibility import sees_truth
from millsight.evaluation.service.worker import KIND
from millsight.platform.services.auth import Reader, Submitter
from millsight.platform.services.images import PictureQuery, image_headers, not_modified
from millsight.platform.services.job_view import JobView
from millsight.platform.services.jobs import Job
from millsight.platform.services.jobs_api import IdempotencyKey, submit_job
from millsight.platform.services.paging import Page, PageQuery, decode_cursor, encode_cursor
from millsight.platform.services.problems import ProblemError, TooManyRequestsError
from millsight.platform.services.state import Service, ServiceState
from millsight.platform.services.tokens import Token

KINDS = {"application/zip": "zip", "application/json": "json", "text/csv": "csv"}
BODY = {
    "requestBody": {
        "required": True,
        "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in KINDS},
    }
}
DAY_S = 86_400
logger = logging.getLogger(__name__)
router = APIRouter(tags=["datasets"])


class SubmitQuery(BaseModel):
    """How a submission is read.

    Attributes:
        name: Of the run, for people.
        threshold: Where scores, box scores and mask probabilities count as defective; without one,
            masks hold 0 and 255, scores decide nothing, and a model's are cut at 0.5.
        decide: What decisions are taken from: by itself what the CSV says, else scores if there is
            a threshold, else pixels, else classes.
    """

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    threshold: float | None = Field(default=None, ge=-1e9, le=1e9, allow_inf_nan=False)
    decide: Decide = Decide.AUTO


@router.get("/datasets")
async def list_datasets(state: Evaluation, token: Reader) -> Page[DatasetView]:
    """List the registered datasets, as the operator ordered them; there is one page."""
    counts = state.runs.counts()
    return Page(items=[_view(found, token, counts) for found in state.datasets.values()])


@router.get("/datasets/{dataset}")
async def show_dataset(state: Evaluation, token: Reader, dataset: DatasetId) -> DatasetView:
    """Show a dataset."""
    return _view(state.dataset(dataset), token, state.runs.counts())


@router.get("/datasets/{dataset}/pictures")
async def list_pictures(
    state: Evaluation, token: Reader, dataset: DatasetId, query: Annotated[PageQuery, Query()]
) -> Page[DatasetPicture]:
    """List what has to be predicted, by sample id."""
    found = state.dataset(dataset)
    start = 0 if query.cursor is None else int(decode_cursor(query.cursor, int)[0])
    rows = found.rows[max(0, start) :][: query.limit]
    end = max(0, start) + len(rows)
    return Page(
        items=[
            DatasetPicture(
                sample_id=row.sample_id,
                file=found.file_of(row),
                category=row.category,
                width=row.width,
                height=row.height,
            )
            for row in rows
        ],
        next_cursor=encode_cursor(end) if end < len(found.rows) else None,
    )


@router.get(
    "/datasets/{dataset}/pictures/{sample_id}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def show_picture(
    *,
    state: Evaluation,
    token: Reader,
    dataset: DatasetId,
    sample_id: SampleId,
    query: Annotated[PictureQuery, Query()],
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Send a picture as JPEG."""
    found = state.dataset(dataset)
    row = found.rows[picture_number(found, sample_id)]
    tag = f'"{sample_id}-{query.size}"'
    if if_none_match == tag:
        return not_modified(tag)
    full = query.size == "full"
    data = state.images.full(row) if full else state.images.thumbnail(found, row)
    return Response(data, headers=image_headers(tag), media_type="image/jpeg")


@router.post("/datasets/{dataset}/runs", status_code=HTTPStatus.ACCEPTED, openapi_extra=BODY)
async def submit_run(
    *,
    request: Request,
    response: Response,
    service: Service,
    state: Evaluation,
    token: Submitter,
    dataset: DatasetId,
    query: Annotated[SubmitQuery, Query()],
    key: IdempotencyKey = None,
) -> JobView:
    """Send predictions or a model: a zip, COCO results as JSON, or scores as CSV.

    A zip holds any of ``detections.json`` (with ``annotations.json`` if its ids are numbers),
    masks as PNG, ``scores.csv`` and ``model.onnx``.
    """
    found = state.dataset(dataset)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in KINDS:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send one of {', '.join(KINDS)} as Content-Type."
        )
    if not sees_truth(found, token):
        _check_rate(service, state, token, dataset, key)
    upload = await state.uploads.receive(request.stream())
    asked = {
        "title": f"{query.name} · {found.title}",
        "dataset": dataset,
        "kind": KINDS[media],
        "name": query.name,
        "threshold": query.threshold,
        "decide": query.decide.value,
        "owner": token.name,
        "sha256": upload.sha256,
    }
    cost = len(found.rows)

    def submit() -> Job:
        return submit_job(request, response, token, KIND, asked, key=key, cost=cost)

    job = await anyio.to_thread.run_sync(state.uploads.keep, upload, submit)
    logger.info("job %s: %s submitted %d bytes for %s", job.id, token.id, upload.size, dataset)
    return JobView.of(job)


def picture_number(dataset: Dataset, sample_id: str) -> int:
    """Return a picture's number.

    Raises:
        ProblemError: 404 if the dataset has none of this id.
    """
    number = dataset.index.get(sample_id)
    if number is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "The dataset has no picture of this id.")
    return number


def _view(dataset: Dataset, token: Token, counts: dict[str, int]) -> DatasetView:
    return DatasetView.of(
        dataset, truth_visible=sees_truth(dataset, token), n_runs=counts.get(dataset.name, 0)
    )


def _check_rate(
    service: ServiceState, state: EvaluationState, token: Token, dataset: str, key: str | None
) -> None:
    """Bound how often the labels can be asked about; failed jobs count, repeated keys do not."""
    known = service.database.all(
        "SELECT 1 FROM idempotency WHERE owner = ? AND key = ?", token.id, key
    )
    sent = service.database.all(
        "SELECT created FROM jobs WHERE owner = ? AND created > ?"
        " AND json_extract(request, '$.dataset') = ? ORDER BY created",
        *(token.id, time.time() - DAY_S, dataset),
    )
    most = state.config.submissions_per_day
    if len(sent) >= most and not known:
        detail = f"At most {most} submissions a day are judged against hidden labels."
        raise TooManyRequestsError(detail, sent[-most]["created"] + DAY_S - time.time())
