"""What the routes of a running service share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection, Request

from millsight.platform.services.config import ServiceConfig
from millsight.platform.services.database import Database
from millsight.platform.services.events import EventStreams
from millsight.platform.services.jobs import JobStore
from millsight.platform.services.limits import RateLimit
from millsight.platform.services.tokens import TokenStore
from millsight.platform.services.worker import JobWorker


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The parts of one service, at ``app.state.service``.

    Attributes:
        config: What the operator set.
        database: SQLite file; rooms keep their own tables in it.
        jobs: The job store.
        tokens: The token store.
        worker: Runs the jobs.
        streams: Progress streams.
        rates: Buckets by token id and, for failed logins, by address.
        open_access: No token is asked for: the service listens on loopback and has none.
    """

    config: ServiceConfig
    database: Database
    jobs: JobStore
    tokens: TokenStore
    worker: JobWorker
    streams: EventStreams
    rates: RateLimit
    open_access: bool

    @property
    def uploads(self) -> Path:
        """Directory for what clients send."""
        return self.config.folder / "uploads"


def service_of(connection: HTTPConnection) -> ServiceState:
    """Return the parts of the service that a request came to."""
    state: ServiceState = connection.app.state.service
    return state


async def _current_service(request: Request) -> ServiceState:
    # Asynchronous, since FastAPI would send a plain function through its thread pool.
    return service_of(request)


Service = Annotated[ServiceState, Depends(_current_service)]
