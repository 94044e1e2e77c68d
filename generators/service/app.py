"""The generation service put together."""

from __future__ import annotations

from fastapi import FastAPI

from millsight.generators.service import image_routes, picture_routes, set_routes, sets
from millsight.generators.service.archives import Archives
from millsight.generators.service.calibration import Calibration
from millsight.generators.service.catalogs import open_catalogs
from millsight.generators.service.config import ServeGenerationConfig
from millsight.generators.service.handler import KIND, GenerateHandler
from millsight.generators.service.models import open_models
from millsight.generators.service.pictures import PictureStore
from millsight.generators.service.pool import Pool, ReplicaPool
from millsight.generators.service.sets import SetStore
from millsight.generators.service.state import GenerationState
from millsight.platform.services.app import create_service_app
from millsight.platform.services.binding import check_binding
from millsight.platform.services.database import Database
from millsight.platform.services.pages import page_router
from millsight.platform.services.tokens import TokenStore

TITLE = "millsight generation"
ROUTERS = (
    set_routes.router,
    picture_routes.router,
    image_routes.router,
    page_router("millsight.generators.service"),
)


def create_generation_app(config: ServeGenerationConfig, pool: Pool | None = None) -> FastAPI:
    """Open catalogs and models, sweep what has expired, and make the application.

    One process at a time may use a folder.

    Args:
        config: What the operator set.
        pool: Who makes pictures; processes of this one's by default.

    Raises:
        UserError: If a catalog does not open, a setting is wrong, or the service would be open to
            others without a token.
    """
    config.check()
    database = Database(config.folder / "service.db", sets.SCHEMA)
    check_binding(config.host, TokenStore(database))
    catalogs = open_catalogs(config.catalogs)
    models = open_models(config.bases, config.adapters)
    store = SetStore(config.folder, database)
    store.clean()
    store.sweep(config.keep_downloaded_days, config.keep_days)
    pictures = PictureStore(database, store)
    pool = pool or ReplicaPool(config.replicas, config.device, config.threads)
    handler = GenerateHandler(
        config,
        catalogs=catalogs,
        sets=store,
        pictures=pictures,
        pool=pool,
        calibration=Calibration(config.device),
    )
    app = create_service_app(
        TITLE,
        config,
        routers=ROUTERS,
        handlers={KIND: handler},
        schema=sets.SCHEMA,
        ready_checks={"catalog": lambda: bool(catalogs)},
        beside=pool.running,
    )
    app.state.generation = GenerationState(
        config=config,
        catalogs=catalogs,
        models=models,
        sets=store,
        pictures=pictures,
        archives=Archives(config.folder / "archives", catalogs, models, pictures),
    )
    app.state.pool = pool
    return app
