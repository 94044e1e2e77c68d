"""A service as a Ray Serve application: one replica, on the machine whose disk it uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import ray
from fastapi import FastAPI
from ray import serve

from millsight.platform.services.binding import check_binding
from millsight.platform.services.config import ServiceConfig
from millsight.platform.services.database import Database
from millsight.platform.services.tokens import TokenStore

QUEUED = 64
NODE_SHARE = 0.001
Config = TypeVar("Config", bound=ServiceConfig)


def application(
    name: str,
    create: Callable[[Config], FastAPI],
    config: Config,
    beside: Mapping[str, serve.Application] | None = None,
) -> serve.Application:
    """Make the application.

    SQLite, the uploads and the job worker live in the replica, so there is exactly one, pinned to
    the node that calls this. Ray turns requests away above ``max_queued_requests``, the service's
    own middleware before that.

    Args:
        name: Of the deployment.
        create: Makes the FastAPI application in the replica.
        config: What the operator set; ``host`` and ``port`` are those of Ray's proxy.
        beside: Further deployments by name, which the application finds by their handles.
    """
    # The replica runs in a directory of Ray's.
    resolved = replace(config, folder=config.folder.absolute())

    def build() -> FastAPI:
        return create(resolved)

    @serve.deployment(
        name=name,
        num_replicas=1,
        # Progress streams are open requests too.
        max_ongoing_requests=config.max_active_requests + config.max_event_streams,
        max_queued_requests=QUEUED,
        backpressure_config={"status_code": 429, "retry_after_s": 1},
        ray_actor_options={"num_cpus": 1, "resources": this_node()},
    )
    @serve.ingress(build)
    class Replica:
        """Serves the FastAPI application."""

        def __init__(self, **beside: Any) -> None:
            # Named here, so that Serve deploys them too.
            del beside

    deployment: Any = Replica
    bound: serve.Application = deployment.bind(**(beside or {}))
    return bound


def run(name: str, make: Callable[[], serve.Application], config: ServiceConfig) -> None:
    """Serve until interrupted, on the running Ray or on one of this process' own.

    Args:
        name: Of the Serve application.
        make: Makes it, once there is a Ray.
        config: Where to listen.

    Raises:
        UserError: If the service would be open to others without a token.
    """
    check_binding(config.host, TokenStore(Database(config.folder / "service.db")))
    start(name, make, config)
    try:
        while True:
            time.sleep(1)
    finally:
        serve.delete(name)


def start(name: str, make: Callable[[], serve.Application], config: ServiceConfig) -> None:
    """Start the application and return once it answers."""
    if not ray.is_initialized():
        ray.init(ignore_reinit_error=True, log_to_driver=False)
    serve.start(http_options={"host": config.host, "port": config.port})
    serve.run(make(), name=name, route_prefix="/")


def node_resources() -> dict[str, float]:
    """Return how much this node has of each of Ray's resources."""
    node = ray.get_runtime_context().get_node_id()
    nodes: Any = ray.nodes
    found: dict[str, float] = next(item for item in nodes() if item["NodeID"] == node)["Resources"]
    return found


def this_node() -> dict[str, float]:
    """Return a resource that only this node has."""
    return {
        name: NODE_SHARE
        for name in node_resources()
        if name.startswith("node:") and not name.endswith("head__")
    }
