"""Routes of the runs: list, look, page through the pictures, compare."""

from __future__ import annotations

import json
import logging
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import Field

from millsight.evaluation.service import picture_table
from millsight.evaluation.service.dataset_routes import picture_number
from millsight.evaluation.service.datasets import Dataset
from millsight.evaluation.service.state import Evaluation, RunId, SampleId
from millsight.evaluation.service.views import (
    PicturePage,
    PictureView,
    RunDetail,
    RunView,
)
from millsight.evaluation.service.visibility import coarse_curves, coarse_evaluation, sees_truth
from millsight.platform.services.auth import Reader, Submitter
from millsight.platform.services.images import image_headers, not_modified
from millsight.platform.services.paging import Page, PageQuery, decode_cursor, encode_cursor
from millsight.platform.services.problems import ProblemError
from millsight.platform.services.tokens import Scope

logger = logging.getLogger(__name__)
router = APIRouter(tags=["runs"])


class Order(StrEnum):
    """In which order, and which of them."""

    WORST = "worst"
    ESCAPES = "escapes"
    OVERKILLS = "overkills"
    LOW_SCORE = "score"
    HIGH_SCORE = "-score"


class Layer(StrEnum):
    """What an overlay shows."""

    PREDICTION = "prediction"
    TRUTH = "truth"
    MAP = "map"


# Column, comparison, direction and filter: from here alone, never from a request.
ORDERS = {
    Order.WORST: ("worst", ">", "ASC", "1"),
    Order.ESCAPES: ("worst", ">", "ASC", "verdict = 'escape'"),
    Order.OVERKILLS: ("worst", ">", "ASC", "verdict = 'overkill'"),
    Order.LOW_SCORE: ("by_score", ">", "ASC", "1"),
    Order.HIGH_SCORE: ("by_score", "<", "DESC", "1"),
}
OF_TRUTH = frozenset({Order.WORST, Order.ESCAPES, Order.OVERKILLS})
HIDDEN = "The labels of this dataset are hidden: only an admin's token sees single pictures' truth."


class RunQuery(PageQuery):
    """Which runs to list.

    Attributes:
        dataset: Only those on this dataset.
        mine: Only the caller's own.
    """

    dataset: str | None = Field(default=None, max_length=64)
    mine: bool = False


class PicturesQuery(PageQuery):
    """Which pictures of a run to list.

    Attributes:
        order: worst, escapes and overkills begin with the worst and need visible truth; score
            begins with the lowest, -score with the highest.
    """

    order: Order = Order.HIGH_SCORE


@router.get("/runs")
async def list_runs(
    state: Evaluation, token: Reader, query: Annotated[RunQuery, Query()]
) -> Page[RunView]:
    """List runs on registered datasets, newest first."""
    before = None if query.cursor is None else int(decode_cursor(query.cursor, int)[0])
    names = [name for name in state.datasets if query.dataset in {None, name}]
    owner = token.id if query.mine else None
    runs = state.runs.page(query.limit + 1, names, before=before, owner=owner)
    more = encode_cursor(runs[query.limit - 1].seq) if len(runs) > query.limit else None
    shown = [state.view(run, state.datasets[run.dataset], token) for run in runs[: query.limit]]
    return Page(items=shown, next_cursor=more)


@router.get("/runs/{run}")
def show_run(state: Evaluation, token: Reader, run: RunId) -> RunDetail:
    """Show a run with all its numbers and curves."""
    found, dataset = state.run(run)
    content = state.runs.content(run)
    if found.fingerprint != dataset.fingerprint:
        content["warnings"].append("The dataset has changed since: not on the leaderboard.")
    if not sees_truth(dataset, token):
        content["evaluation"] = coarse_evaluation(content["evaluation"])
        content["curves"] = coarse_curves(content["curves"], len(dataset.rows))
    view = state.view(found, dataset, token)
    kept = ("evaluation", "curves", "provenance", "warnings")
    return RunDetail(**dict(view), **{name: content[name] for name in kept})


@router.delete("/runs/{run}", status_code=HTTPStatus.NO_CONTENT)
def delete_run(state: Evaluation, token: Submitter, run: RunId) -> Response:
    """Delete a run of one's own, or as admin anybody's."""
    if state.runs.get(run).owner != token.id and not token.allows(Scope.ADMIN):
        raise ProblemError(HTTPStatus.FORBIDDEN, "Only its owner or an admin may delete a run.")
    state.runs.delete(run)
    logger.info("run %s: deleted by %s", run, token.id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


# On the event loop: under load, threads that build pages hold each other up for most of the time.
@router.get("/runs/{run}/pictures")
async def list_run_pictures(
    state: Evaluation, token: Reader, run: RunId, query: Annotated[PicturesQuery, Query()]
) -> PicturePage:
    """Page through a run's pictures."""
    _, dataset = state.run(run)
    visible = sees_truth(dataset, token)
    if query.order in OF_TRUTH and not visible:
        raise ProblemError(HTTPStatus.FORBIDDEN, HIDDEN)
    column, beyond, direction, wanted = ORDERS[query.order]
    place, values = "1", []
    if query.cursor is not None:
        place, values = f"{column} {beyond} ?", [int(decode_cursor(query.cursor, int)[0])]
    with picture_table.reading(state.runs.folder(run)) as database:
        total = database.execute(f"SELECT count(*) FROM pictures WHERE {wanted}").fetchone()[0]  # noqa: S608
        rows = database.execute(
            f"SELECT * FROM pictures WHERE {wanted} AND {place}"  # noqa: S608
            f" ORDER BY {column} {direction} LIMIT ?",
            (*values, query.limit + 1),
        ).fetchall()
    more = encode_cursor(rows[query.limit - 1][column]) if len(rows) > query.limit else None
    shown = [
        picture_view(dataset, row["sample_id"], row["predicted"], row["truth"] if visible else None)
        for row in rows[: query.limit]
    ]
    items = [view for view in shown if view is not None]
    return PicturePage(items=items, next_cursor=more, total=total)


@router.get(
    "/runs/{run}/pictures/{sample_id}/overlay",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def show_overlay(
    *,
    state: Evaluation,
    token: Reader,
    run: RunId,
    sample_id: SampleId,
    layer: Layer,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Send a mask as a PNG that is transparent where nothing is, 1,024 pixels a side at most."""
    _, dataset = state.run(run)
    row = dataset.rows[picture_number(dataset, sample_id)]
    if layer is Layer.TRUTH and not sees_truth(dataset, token):
        raise ProblemError(HTTPStatus.FORBIDDEN, HIDDEN)
    tag = f'"{run}-{sample_id}-{layer}"'
    if if_none_match == tag:
        return not_modified(tag)
    mask = state.runs.folder(run) / "masks" / f"{sample_id}.png"
    if layer is Layer.TRUTH:
        data = state.images.truth(row)
    elif not mask.exists():
        raise ProblemError(HTTPStatus.NOT_FOUND, "This run has no mask of this picture.")
    elif layer is Layer.MAP:
        data = state.images.map(mask, row)
    else:
        threshold = state.runs.content(run)["provenance"]["mask_threshold"]
        data = state.images.prediction(mask, row, threshold)
    return Response(data, headers=image_headers(tag), media_type="image/png")


def picture_view(
    dataset: Dataset, sample_id: str, predicted: str, truth: str | None
) -> PictureView | None:
    """Show a picture of a run; ``None`` if the dataset no longer has it.

    Args:
        dataset: Where it is from.
        sample_id: Which it is.
        predicted: JSON of the picture table.
        truth: The same, unless it is hidden from the caller.
    """
    number = dataset.index.get(sample_id)
    if number is None:
        return None
    known = dataset.rows[number]
    values: dict[str, Any] = json.loads(predicted) | (json.loads(truth) if truth else {})
    return PictureView(
        sample_id=known.sample_id,
        file=dataset.file_of(known),
        category=known.category,
        width=known.width,
        height=known.height,
        **values,
    )
