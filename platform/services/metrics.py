"""Prometheus metrics, and whether the service is alive and ready."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millsight.platform.services.auth import Reader
from millsight.platform.services.problems import ProblemError
from millsight.platform.services.state import ServiceState, service_of

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

HEALTH_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
ReadyCheck = Callable[[], bool]


class RequestMetrics:
    """ASGI middleware that counts and times requests by route, never by the address asked for.

    Args:
        app: What it stands before.
        registry: Where the metrics lie.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "millsight_http_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "millsight_http_seconds",
            "Seconds until the answer began",
            ["route"],
            registry=registry,
            buckets=SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count and time the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = _route(scope)
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._requests.labels(method, route, message["status"]).inc()
                self._seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, watched)


class ServiceCollector(Collector):
    """Reads the number of jobs in each state and of open streams when Prometheus asks.

    Args:
        service: The service's parts.
    """

    def __init__(self, service: ServiceState) -> None:
        self._service = service

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        jobs = GaugeMetricFamily("millsight_jobs", "Jobs by state", labels=["state"])
        for state, count in self._service.jobs.counts().items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily(
            "millsight_event_streams", "Open progress streams", self._service.streams.open
        )


def health_router(registry: CollectorRegistry, checks: Mapping[str, ReadyCheck]) -> APIRouter:
    """Make the routes /healthz, /readyz (both open to all) and /metrics (for readers).

    Args:
        registry: Where the metrics lie.
        checks: The room's own conditions for being ready, by name.
    """
    router = APIRouter(tags=["operation"])

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "alive"}

    @router.get("/readyz")
    def ready(request: Request) -> dict[str, str]:
        """Say that jobs can be taken and worked on; 503 names what is missing."""
        service = service_of(request)
        conditions: dict[str, ReadyCheck] = {
            "database": lambda: _writable(service),
            "worker": lambda: service.worker.alive,
        }
        missing = [name for name, is_met in (conditions | dict(checks)).items() if not is_met()]
        if missing:
            detail = f"Not ready: {', '.join(missing)}"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"})
        return {"status": "ready"}

    @router.get("/metrics", response_class=PlainTextResponse)
    def metrics(token: Reader) -> Response:
        """Show the metrics in Prometheus' text format."""
        return Response(generate_latest(registry), media_type=MEDIA_TYPE)

    return router


def _route(scope: Mapping[str, Any]) -> str:
    route = scope.get("route")
    return getattr(route, "path", "unmatched")


def _writable(service: ServiceState) -> bool:
    try:
        with service.database.transaction() as connection:
            connection.execute("UPDATE jobs SET updated = updated WHERE seq = 0")
    except sqlite3.Error:
        return False
    return True
