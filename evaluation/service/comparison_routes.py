"""Routes of the leaderboard and of comparisons."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from millsight.evaluation.metrics import Estimate
from millsight.evaluation.service import leaderboard, picture_table
from millsight.evaluation.service.datasets import Dataset
from millsight.evaluation.service.run_routes import HIDDEN, picture_view
from millsight.evaluation.service.runs import Run
from millsight.evaluation.service.state import Evaluation, EvaluationState
from millsight.evaluation.service.views import (
    ComparisonView,
    EstimateView,
    LeaderboardRow,
    LeaderboardView,
    MetricView,
    PicturePair,
)
from millsight.evaluation.service.visibility import coarse_differences, coarse_headline, sees_truth
from millsight.platform.services.auth import Reader
from millsight.platform.services.paging import Page, PageQuery, decode_cursor, encode_cursor
from millsight.platform.services.problems import ProblemError

MAX_ROWS = 200
RIGHT = ("('caught', 'passed')", "('escape', 'overkill')")
router = APIRouter(tags=["comparison"])


class Kind(StrEnum):
    """Which pictures of a comparison."""

    ONLY_FIRST_RIGHT = "only_first_right"
    ONLY_SECOND_RIGHT = "only_second_right"
    BOTH_WRONG = "both_wrong"


# Verdicts of the first and of the second run.
VERDICTS = {
    Kind.ONLY_FIRST_RIGHT: (RIGHT[0], RIGHT[1]),
    Kind.ONLY_SECOND_RIGHT: (RIGHT[1], RIGHT[0]),
    Kind.BOTH_WRONG: (RIGHT[1], RIGHT[1]),
}
RunParameter = Field(pattern="^[0-9a-f]{32}$")


class LeaderboardQuery(BaseModel):
    """Which leaderboard.

    Attributes:
        dataset: Whose.
        metric: By which metric; by sample F1, or what there is, if not given.
    """

    model_config = ConfigDict(extra="forbid")
    dataset: str = Field(max_length=64)
    metric: str | None = Field(default=None, max_length=64)


class CompareQuery(BaseModel):
    """Which two runs.

    Attributes:
        first: One run's id.
        second: The other's.
    """

    model_config = ConfigDict(extra="forbid")
    first: str = RunParameter
    second: str = RunParameter


class ComparePicturesQuery(PageQuery):
    """Which pictures of which two runs.

    Attributes:
        first: One run's id.
        second: The other's.
        kind: Whose decision is right.
    """

    first: str = RunParameter
    second: str = RunParameter
    kind: Kind


@router.get("/leaderboard")
def show_leaderboard(
    state: Evaluation, token: Reader, query: Annotated[LeaderboardQuery, Query()]
) -> LeaderboardView:
    """Rank a dataset's runs by a metric, each with its paired difference to the best."""
    dataset = state.dataset(query.dataset)
    runs = state.runs.of_dataset(dataset)
    names = leaderboard.metrics_of(runs)
    metric = query.metric or leaderboard.default_metric(names)
    if query.metric is not None and query.metric not in names:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"No run has this metric; there are {', '.join(names) or 'none'}."
        )
    ranked = [] if metric is None else leaderboard.ranked(_having(runs, metric), metric)
    visible = sees_truth(dataset, token)
    rows = []
    for rank, run in ranked[:MAX_ROWS]:
        view = state.view(run, dataset, token)
        gap = None if run is ranked[0][1] else _behind(state, run, ranked[0][1], str(metric))
        rows.append(
            LeaderboardRow(
                rank=rank,
                run=view,
                estimate=view.headline[str(metric)],
                behind=None if gap is None else _shown(str(metric), gap, visible),
            )
        )
    metrics = [
        MetricView(
            name=name,
            title=leaderboard.title(name),
            higher_is_better=name not in leaderboard.LOWER_IS_BETTER,
        )
        for name in names
    ]
    return LeaderboardView(dataset=dataset.name, metric=metric, metrics=metrics, rows=rows)


@router.get("/compare")
def compare_runs(
    state: Evaluation, token: Reader, query: Annotated[CompareQuery, Query()]
) -> ComparisonView:
    """Compare two runs over the same pictures: first minus second, paired by picture."""
    (first, second), dataset = _both(state, query.first, query.second)
    folders = state.runs.folder(first.id), state.runs.folder(second.id)
    content: dict[str, Any] = {
        task: {
            row: {name: gap.to_dict() for name, gap in gaps.items()} for row, gaps in rows.items()
        }
        for task, rows in leaderboard.differences(*folders).items()
    }
    counts: Any = leaderboard.count_right(*folders)
    return ComparisonView(
        first=state.view(first, dataset, token),
        second=state.view(second, dataset, token),
        differences=content if sees_truth(dataset, token) else coarse_differences(content),
        pictures=counts,
    )


@router.get("/compare/pictures")
def compare_pictures(
    state: Evaluation, token: Reader, query: Annotated[ComparePicturesQuery, Query()]
) -> Page[PicturePair]:
    """Page through the pictures that only one run, or neither, decides rightly."""
    (first, second), dataset = _both(state, query.first, query.second)
    if not sees_truth(dataset, token):
        raise ProblemError(HTTPStatus.FORBIDDEN, HIDDEN)
    after = 0 if query.cursor is None else int(decode_cursor(query.cursor, int)[0])
    folders = state.runs.folder(first.id), state.runs.folder(second.id)
    with picture_table.reading(*folders) as database:
        rows = database.execute(_pairs(query.kind), (after, query.limit + 1)).fetchall()
    pairs = [
        (
            picture_view(dataset, row["sample_id"], row["predicted"], row["truth"]),
            picture_view(dataset, row["sample_id"], row["other_predicted"], row["other_truth"]),
        )
        for row in rows[: query.limit]
    ]
    return Page(
        items=[PicturePair(first=one, second=two) for one, two in pairs if one and two],
        next_cursor=encode_cursor(rows[query.limit - 1]["worst"])
        if len(rows) > query.limit
        else None,
    )


def _pairs(kind: Kind) -> str:
    first, second = VERDICTS[kind]
    return (
        "SELECT sample_id, one.worst, one.predicted, one.truth,"  # noqa: S608 - constants
        " two.predicted AS other_predicted, two.truth AS other_truth"
        " FROM main.pictures AS one JOIN other.pictures AS two USING (sample_id)"
        f" WHERE one.verdict IN {first} AND two.verdict IN {second}"
        " AND one.worst > ? ORDER BY one.worst LIMIT ?"
    )


def _both(state: EvaluationState, first: str, second: str) -> tuple[tuple[Run, Run], Dataset]:
    one, dataset = state.run(first)
    two, other = state.run(second)
    if dataset.name != other.name or one.fingerprint != two.fingerprint:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "Runs are compared on the same dataset in the same state; these two are not.",
        )
    return (one, two), dataset


def _having(runs: list[Run], metric: str) -> list[Run]:
    return [run for run in runs if metric in run.headline]


def _behind(state: EvaluationState, run: Run, best: Run, metric: str) -> Estimate | None:
    return leaderboard.behind(state.runs.folder(run.id), state.runs.folder(best.id), metric)


def _shown(metric: str, gap: Estimate, visible: bool) -> EstimateView:
    content = gap.to_dict()
    return EstimateView(**(content if visible else coarse_headline({metric: content})[metric]))
