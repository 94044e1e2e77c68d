"""What the evaluation service's routes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Path, Request

from millsight.evaluation.service.config import ServeEvaluationConfig
from millsight.evaluation.service.datasets import Dataset
from millsight.evaluation.service.images import Images
from millsight.evaluation.service.runs import Run, RunStore
from millsight.evaluation.service.uploads import UploadStore
from millsight.evaluation.service.views import RunView
from millsight.evaluation.service.visibility import coarse_headline, sees_truth
from millsight.platform.services.problems import ProblemError
from millsight.platform.services.tokens import Token

DatasetId = Annotated[str, Path(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
RunId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
SampleId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@dataclass(frozen=True, slots=True)
class EvaluationState:
    """The parts of the service, at ``app.state.evaluation``.

    Attributes:
        config: What the operator set.
        datasets: By name.
        runs: What was judged.
        uploads: What waits to be judged.
        images: Pictures and overlays.
    """

    config: ServeEvaluationConfig
    datasets: Mapping[str, Dataset]
    runs: RunStore
    uploads: UploadStore
    images: Images

    def dataset(self, name: str) -> Dataset:
        """Return a dataset.

        Raises:
            ProblemError: 404 if there is none of this name.
        """
        if name not in self.datasets:
            raise ProblemError(HTTPStatus.NOT_FOUND, "There is no dataset of this name.")
        return self.datasets[name]

    def run(self, run: str) -> tuple[Run, Dataset]:
        """Return a run and the dataset it was judged on.

        Raises:
            ProblemError: 404 if there is no such run, or its dataset is no longer registered.
        """
        found = self.runs.get(run)
        return found, self.dataset(found.dataset)

    def view(self, run: Run, dataset: Dataset, token: Token) -> RunView:
        """Show a run to a caller."""
        visible = sees_truth(dataset, token)
        headline = run.headline if visible else coarse_headline(run.headline)
        return RunView.of(run, headline, truth_visible=visible)


async def _current(request: Request) -> EvaluationState:
    # Asynchronous, since FastAPI would send a plain function through its thread pool.
    state: EvaluationState = request.app.state.evaluation
    return state


Evaluation = Annotated[EvaluationState, Depends(_current)]
