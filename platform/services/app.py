"""A service put together: the room above brings its routes and handlers, the floor the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry

from millsight.platform.services import auth, jobs_api
from millsight.platform.services.binding import LocalOnly, check_binding
from millsight.platform.services.config import ServiceConfig
from millsight.platform.services.database import Database
from millsight.platform.services.events import EventStreams
from millsight.platform.services.jobs import JobStore, QueueLimits
from millsight.platform.services.leases import JobQueue
from millsight.platform.services.limits import Backpressure, BodyLimit, RateLimit
from millsight.platform.services.metrics import (
    HEALTH_PATHS,
    ReadyCheck,
    RequestMetrics,
    ServiceCollector,
    health_router,
)
from millsight.platform.services.problems import describe_problems, install_problems
from millsight.platform.services.state import ServiceState
from millsight.platform.services.tokens import TokenStore
from millsight.platform.services.uploads import remove_stale
from millsight.platform.services.worker import Handler, JobWorker

MIB = 1 << 20


def create_service_app(
    title: str,
    config: ServiceConfig,
    *,
    routers: Sequence[APIRouter],
    handlers: Mapping[str, Handler],
    schema: str = "",
    upload_paths: Sequence[str] = (),
    ready_checks: Mapping[str, ReadyCheck] | None = None,
    beside: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> FastAPI:
    """Put a service together; its worker runs while the application does.

    Args:
        title: Its name, for people.
        config: Where it listens, where its things lie, what it takes on.
        routers: The room's routes; they ask for ``Reader``, ``Submitter`` or ``Administrator``.
        handlers: What works on each kind of job.
        schema: ``CREATE ... IF NOT EXISTS`` statements of the room's own tables.
        upload_paths: Path prefixes that take bodies up to ``max_upload_mib``.
        ready_checks: The room's own conditions for being ready, by name.
        beside: What else runs while the application does; its end comes after the worker's.

    Raises:
        UserError: If it would be open to others without a token, or its database is not usable.
    """
    service = _create_state(config, handlers, schema)

    @asynccontextmanager
    async def working(app: FastAPI) -> AsyncIterator[None]:
        remove_stale(service.uploads)
        with beside():
            service.worker.start()
            yield
            service.worker.stop()

    # Documentation pages would load scripts from a CDN; the schema is at /openapi.json.
    app = FastAPI(
        title=title,
        version=version("millsight"),
        lifespan=working,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    registry = CollectorRegistry()
    registry.register(ServiceCollector(service))
    operation = health_router(registry, ready_checks or {})
    for router in (*routers, jobs_api.router, auth.router, operation):
        app.include_router(router)
    install_problems(app)
    _install_schema(app)
    _install_limits(app, config, upload_paths, service.open_access)
    app.add_middleware(RequestMetrics, registry=registry)
    return app


def _create_state(
    config: ServiceConfig, handlers: Mapping[str, Handler], schema: str
) -> ServiceState:
    database = Database(config.folder / "service.db", schema)
    tokens = TokenStore(database)
    limits = QueueLimits(config.max_queued, config.max_queued_per_token, config.max_cost_per_token)
    jobs = JobStore(database, limits)
    return ServiceState(
        config=config,
        database=database,
        jobs=jobs,
        tokens=tokens,
        worker=JobWorker(JobQueue(database, config.lease_s), handlers, config.workers),
        streams=EventStreams(jobs, config.max_event_streams),
        rates=RateLimit(config.requests_per_second, config.request_burst),
        open_access=check_binding(config.host, tokens),
    )


def _install_limits(
    app: FastAPI, config: ServiceConfig, upload_paths: Sequence[str], open_access: bool
) -> None:
    uploads = dict.fromkeys(upload_paths, int(config.max_upload_mib * MIB))
    # The last one added is the first to see a request.
    if open_access:
        app.add_middleware(LocalOnly)
    app.add_middleware(BodyLimit, max_bytes=int(config.max_body_mib * MIB), uploads=uploads)
    app.add_middleware(Backpressure, max_active=config.max_active_requests, exempt=HEALTH_PATHS)


def _install_schema(app: FastAPI) -> None:
    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            app.openapi_schema = describe_problems(made)
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]
