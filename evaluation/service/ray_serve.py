"""The service as a Ray Serve application: one replica, on the machine whose disk it uses."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve

from millsight.evaluation.service.app import create_evaluation_app
from millsight.evaluation.service.config import ServeEvaluationConfig
from millsight.platform.services.binding import check_binding
from millsight.platform.services.database import Database
from millsight.platform.services.tokens import TokenStore

NAME = "millsight-evaluation"
QUEUED = 64
NODE_SHARE = 0.001


def application(config: ServeEvaluationConfig) -> serve.Application:
    """Make the application.

    SQLite, the uploads and the job worker live in the replica, so there is exactly one, pinned to
    the node that calls this. Ray turns requests away above ``max_queued_requests``, the service's
    own middleware before that.

    Args:
        config: What the operator set; ``host`` and ``port`` are those of Ray's proxy.
    """
    # The replica runs in a directory of Ray's.
    resolved = replace(config, folder=config.folder.absolute())

    def build() -> FastAPI:
        return create_evaluation_app(resolved)

    @serve.deployment(
        name=NAME,
        num_replicas=1,
        # Progress streams are open requests too.
        max_ongoing_requests=config.max_active_requests + config.max_event_streams,
        max_queued_requests=QUEUED,
        backpressure_config={"status_code": 429, "retry_after_s": 1},
        ray_actor_options={"num_cpus": 1, "resources": _this_node()},
    )
    @serve.ingress(build)
    class Replica:
        """Serves the FastAPI application."""

    deployment: Any = Replica
    bound: serve.Application = deployment.bind()
    return bound


def run(config: ServeEvaluationConfig) -> None:
    """Serve until interrupted, on the running Ray or on one of this process' own.

    Raises:
        UserError: If the service would be open to others without a token.
    """
    check_binding(config.host, TokenStore(Database(config.folder / "service.db")))
    start(config)
    try:
        while True:
            time.sleep(1)
    finally:
        serve.delete(NAME)


def start(config: ServeEvaluationConfig) -> None:
    """Start the application and return once it answers."""
    if not ray.is_initialized():
        ray.init(ignore_reinit_error=True, log_to_driver=False)
    serve.start(http_options={"host": config.host, "port": config.port})
    serve.run(application(config), name=NAME, route_prefix="/")


def _this_node() -> dict[str, float]:
    node = ray.get_runtime_context().get_node_id()
    nodes: Any = ray.nodes
    found = next(item for item in nodes() if item["NodeID"] == node)
    return {
        name: NODE_SHARE
        for name in found["Resources"]
        if name.startswith("node:") and not name.endswith("head__")
    }
