"""The evaluation service put together."""

from __future__ import annotations

from fastapi import FastAPI

from millsight.evaluation.service import (
    comparison_routes,
    dataset_routes,
    run_routes,
    runs,
)
from millsight.evaluation.service.config import ServeEvaluationConfig
from millsight.evaluation.service.datasets import open_datasets
from millsight.evaluation.service.images import Images
from millsight.evaluation.service.runs import RunStore
from millsight.evaluation.service.state import EvaluationState
from millsight.evaluation.service.uploads import UploadStore
from millsight.evaluation.service.worker import KIND, EvaluateHandler
from millsight.platform.services.app import create_service_app
from millsight.platform.services.binding import check_binding
from millsight.platform.services.database import Database
from millsight.platform.services.pages import page_router
from millsight.platform.services.tokens import TokenStore

TITLE = "millsight evaluation"
NAME = "millsight-evaluation"
ROUTERS = (
    dataset_routes.router,
    run_routes.router,
    comparison_routes.router,
    page_router("millsight.evaluation.service"),
)


def create_evaluation_app(config: ServeEvaluationConfig) -> FastAPI:
    """Open the datasets, sweep what a killed process left, and make the application.

    One process at a time may use a folder.

    Args:
        config: What the operator set.

    Raises:
        UserError: If a dataset does not open, or the service would be open to others without a
            token.
    """
    folder = config.folder
    database = Database(folder / "service.db", runs.SCHEMA)
    open_access = check_binding(config.host, TokenStore(database))
    datasets = open_datasets(config.datasets, folder / "datasets", all_open=open_access)
    store = RunStore(folder, database)
    store.clean()
    uploads = UploadStore(folder / "uploads", database)
    app = create_service_app(
        TITLE,
        config,
        routers=ROUTERS,
        handlers={KIND: EvaluateHandler(config, datasets, store, uploads)},
        schema=runs.SCHEMA,
        upload_paths=["/datasets/"],
        ready_checks={"dataset": lambda: bool(datasets)},
    )
    app.state.evaluation = EvaluationState(
        config=config,
        datasets=datasets,
        runs=store,
        uploads=uploads,
        images=Images(folder / "thumbnails"),
    )
    return app
