"""Replicas as a Ray Serve deployment, which knows who has which adapter in memory."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError

from millsight.generators.service.app import create_generation_app
from millsight.generators.service.config import ServeGenerationConfig
from millsight.generators.service.pool import DIED, MAX_DEATHS, POLL_S, RETRY_S
from millsight.generators.service.turns import Order
from millsight.generators.service.workshop import ready_stage
from millsight.platform.errors import UserError
from millsight.platform.executors.attempts import Outcome, attempt
from millsight.platform.services.ray_serve import application, node_resources, this_node
from millsight.platform.shards import Shard, ShardStore
from millsight.platform.stages import Stage

NAME = "millsight-generation"
REPLICAS = "millsight-generation-replicas"
# As many as a pipeline keeps.
ADAPTERS = 8
# Shards of one set that wait at the replicas: enough to keep them busy, few enough to share.
AHEAD = 2
NO_ADAPTER = "none"
logger = logging.getLogger(__name__)


class RayReplica:
    """Makes shards; Serve sends those of one adapter to a replica that has it, if it can.

    Args:
        device: Torch device.
    """

    def __init__(self, device: str) -> None:
        from millsight.platform.executors.local import resolve_device

        self._device = resolve_device(device)

    @serve.multiplexed(max_num_models_per_replica=ADAPTERS)  # type: ignore[untyped-decorator]
    async def adapter(self, affinity: str) -> str:
        """Note for Serve's router that this replica has an adapter; the pipeline holds it."""
        return affinity

    async def make(self, order: str, stage: Stage, shard: Shard, store: str) -> Outcome:
        """Make a shard and land it."""
        await self.adapter(serve.get_multiplexed_model_id())
        try:
            kept = ready_stage(order, stage, self._device)
        except Exception as error:
            return Outcome.of(error)
        return attempt(kept, shard, ShardStore(store))


class RayPool:
    """Gives shards to the deployment's replicas; see ``ReplicaPool``.

    Args:
        replicas: How many there are.
    """

    def __init__(self, replicas: int) -> None:
        self._ahead = AHEAD * replicas

    def running(self) -> AbstractContextManager[None]:
        """Serve keeps the replicas."""
        return nullcontext()

    def answer(
        self, order: Order, shards: Sequence[Shard], check: Callable[[str], None]
    ) -> Iterator[Shard]:
        """Land the shards that have not landed; see ``ReplicaPool.answer``."""
        landed = ShardStore(order.store).landed()
        missing = [shard for shard in shards if shard.id not in landed]
        handle: Any = serve.get_deployment_handle(REPLICAS, app_name=NAME).options(
            multiplexed_model_id=order.affinity or NO_ADAPTER
        )
        stage = ray.put(order.stage)
        send = partial(handle.make.remote, order.id, stage)
        waiting = {one.id: send(one, order.store) for one in missing[: self._ahead]}
        behind = iter(missing[self._ahead :])
        for shard in shards:
            if shard.id not in landed:
                again = partial(send, shard, order.store)
                _wait(waiting.pop(shard.id), again, check)
                if further := next(behind, None):
                    waiting[further.id] = send(further, order.store)
            yield shard


def _wait(response: Any, again: Callable[[], Any], check: Callable[[str], None]) -> None:
    deaths = 0
    while True:
        try:
            outcome: Outcome = response.result(timeout_s=POLL_S)
        except TimeoutError:
            check("")
            continue
        except RayError as error:
            deaths += 1
            logger.warning("a replica died (%s)", type(error).__name__)
            if deaths >= MAX_DEATHS:
                raise UserError(DIED) from None
            response = again()
            continue
        if outcome.error is None:
            return
        if not outcome.disk_full:
            outcome.raise_error()
        check("the service's disk is full: waiting for room")
        time.sleep(RETRY_S)
        response = again()


def create(config: ServeGenerationConfig) -> FastAPI:
    """Make the application for Serve's replica."""
    return create_generation_app(config, RayPool(config.replicas))


def make_application(config: ServeGenerationConfig) -> serve.Application:
    """Make the Serve application: the service, and the replicas that it asks.

    Replicas write their shards into the service's folder, so they live on its node too, and share
    its GPUs.

    Raises:
        UserError: If a setting is wrong.
    """
    config.check()
    gpus = 0.0 if config.device == "cpu" else node_resources().get("GPU", 0.0) / config.replicas
    options = {
        "num_cpus": config.threads or 1,
        "num_gpus": min(1.0, math.floor(100 * gpus) / 100),
        "resources": this_node(),
    }
    deployment: Any = serve.deployment(
        name=REPLICAS,
        num_replicas=config.replicas,
        max_ongoing_requests=1,
        ray_actor_options=options,
    )(RayReplica)
    return application(NAME, create, config, {"replicas": deployment.bind(config.device)})
