"""What clients see."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel

from millsight.evaluation.service.datasets import Dataset
from millsight.evaluation.service.runs import Run
from millsight.platform.services.paging import Page


class EstimateView(BaseModel):
    """A number with its interval; null where it is undefined or withheld.

    Attributes:
        value: On the pictures as they are.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Pictures it was computed from.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


class DatasetView(BaseModel):
    """A registered dataset.

    Attributes:
        id: Its name in addresses.
        title: For people.
        split: The judged split, or null for all pictures.
        n_pictures: Pictures to predict.
        tasks: What can be judged: samples, masks, boxes, classes.
        classes: The true classes.
        truth_visible: Whether the caller sees single pictures' truth.
        n_runs: Runs judged on it.
    """

    id: str
    title: str
    split: str | None
    n_pictures: int
    tasks: list[str]
    classes: list[str]
    truth_visible: bool
    n_runs: int

    @classmethod
    def of(cls, dataset: Dataset, *, truth_visible: bool, n_runs: int) -> Self:
        """Show a dataset."""
        return cls(
            id=dataset.name,
            title=dataset.title,
            split=dataset.config.split,
            n_pictures=len(dataset.rows),
            tasks=dataset.tasks,
            classes=dataset.classes,
            truth_visible=truth_visible,
            n_runs=n_runs,
        )


class DatasetPicture(BaseModel):
    """A picture to predict.

    Attributes:
        sample_id: First 32 hex digits of the SHA-256 of the operator's file.
        file: What predictions are named after; the sample id does as well.
        category: Material and line.
        width: Pixels, upright.
        height: Pixels, upright.
    """

    sample_id: str
    file: str
    category: str
    width: int
    height: int


class RunView(BaseModel):
    """One judged submission.

    Attributes:
        id: 32 hex digits, those of its job.
        name: As its owner called it.
        dataset: What it was judged on.
        owner: Name of the token that submitted it.
        created: When it was judged.
        tasks: What was judged: maps, samples, boxes, classes.
        headline: The numbers people look at.
        truth_visible: Whether the caller sees single pictures' truth.
    """

    id: str
    name: str
    dataset: str
    owner: str
    created: datetime
    tasks: list[str]
    headline: dict[str, EstimateView]
    truth_visible: bool

    @classmethod
    def of(cls, run: Run, headline: dict[str, Any], *, truth_visible: bool) -> Self:
        """Show a run; ``headline`` as the caller may see it."""
        return cls(
            id=run.id,
            name=run.name,
            dataset=run.dataset,
            owner=run.owner_name,
            created=datetime.fromtimestamp(run.created, UTC),
            tasks=run.tasks,
            headline=headline,
            truth_visible=truth_visible,
        )


class SeriesView(BaseModel):
    """A line of a curve.

    Attributes:
        x: Values along the x axis.
        y: As many along the y axis.
    """

    x: list[float]
    y: list[float]


class CurveView(BaseModel):
    """Lines over one pair of axes, both from 0 to 1.

    Attributes:
        name: roc, precision_recall, pro, box_precision_recall or reliability.
        title: For people.
        x_label: Of the x axis.
        y_label: Of the y axis.
        series: By name.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: dict[str, SeriesView]


class RunDetail(RunView):
    """A run with all that was computed.

    Attributes:
        evaluation: Every task's numbers, by task.
        curves: What can be drawn.
        provenance: What it was made from.
        warnings: What to know before believing the numbers.
    """

    evaluation: dict[str, Any]
    curves: list[CurveView]
    provenance: dict[str, Any]
    warnings: list[str]


class BoxView(BaseModel):
    """A box in pixels of the upright picture, x right and y down.

    Attributes:
        x0: Left edge.
        y0: Upper edge.
        x1: Right edge.
        y1: Lower edge.
        label: Class.
        score: Of a predicted box.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    label: str | None
    score: float | None


class PictureView(DatasetPicture):
    """A picture in a run; what depends on truth is null unless the caller may see it.

    Attributes:
        score: Higher is more anomalous.
        decision: Whether it was called defective.
        predicted_label: Predicted class.
        boxes: Predicted boxes, the hundred surest.
        has_prediction_mask: Whether there is an overlay of the layers prediction and map.
        verdict: escape is a defect let through, overkill a good picture stopped.
        loss: How bad the prediction is, from 0 to 4.
        label: True class.
        defective: Whether it has a defect.
        seg_iou: Of the masks.
        has_truth_mask: Whether there is an overlay of the layer truth.
        true_boxes: The true boxes.
    """

    score: float | None
    decision: bool | None
    predicted_label: str | None
    boxes: list[BoxView]
    has_prediction_mask: bool
    verdict: Literal["escape", "overkill", "caught", "passed"] | None = None
    loss: float | None = None
    label: str | None = None
    defective: bool | None = None
    seg_iou: float | None = None
    has_truth_mask: bool | None = None
    true_boxes: list[BoxView] | None = None


class PicturePage(Page[PictureView]):
    """Some of a run's pictures.

    Attributes:
        total: How many there are in this order.
    """

    total: int


class MetricView(BaseModel):
    """A metric of the leaderboard.

    Attributes:
        name: As in headlines.
        title: For people.
        higher_is_better: Whether the best run has the highest value.
    """

    name: str
    title: str
    higher_is_better: bool


class LeaderboardRow(BaseModel):
    """A run's place.

    Attributes:
        rank: From 1; equal values share a rank.
        run: The run.
        estimate: Its number.
        behind: Paired difference to the first run; null where it cannot be paired.
    """

    rank: int
    run: RunView
    estimate: EstimateView
    behind: EstimateView | None


class LeaderboardView(BaseModel):
    """Runs of a dataset by one metric.

    Attributes:
        dataset: Whose runs.
        metric: By which metric; null where no run has any.
        metrics: What else there is.
        rows: The best first, at most 200.
    """

    dataset: str
    metric: str | None
    metrics: list[MetricView]
    rows: list[LeaderboardRow]


class PictureCounts(BaseModel):
    """How two runs' decisions agree with the truth.

    Attributes:
        only_first_right: Pictures that only the first run decides rightly.
        only_second_right: Pictures that only the second run decides rightly.
        both_right: Pictures that both decide rightly.
        both_wrong: Pictures that both decide wrongly.
    """

    only_first_right: int
    only_second_right: int
    both_right: int
    both_wrong: int


class ComparisonView(BaseModel):
    """Two runs over the same pictures.

    Attributes:
        first: One.
        second: The other.
        differences: Task to row to metric to first minus second, paired by picture.
        pictures: Null where decisions were not judged.
    """

    first: RunView
    second: RunView
    differences: dict[str, dict[str, dict[str, EstimateView]]]
    pictures: PictureCounts | None


class PicturePair(BaseModel):
    """One picture in two runs.

    Attributes:
        first: In the first run.
        second: In the second.
    """

    first: PictureView
    second: PictureView
