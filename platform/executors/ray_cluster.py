"""Joining or starting a Ray, quietly, with errors a user can act on."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from millsight.platform.errors import UserError


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be connected to a Ray within the block; one that is connected already is used as it is.

    Args:
        address: As ``RayActorExecutor`` takes it.

    Raises:
        UserError: If no Ray answers there.
    """
    # log_to_driver=False leaves the raylets' messages, a paragraph on stdout for each dead worker.
    ray._private.worker._worker_logs_enabled = False
    if ray.is_initialized():
        yield
        return
    if address is None:
        address = "auto" if os.environ.get("RAY_ADDRESS") else "local"
    _join(address)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    if address.startswith(("ray://", "http://", "https://")):
        raise UserError(
            f"execution.address {address}: from outside a cluster, submit the command instead, "
            "for example `millsight submit --address http://HOST:8265 -- COMMAND`."
        )
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(
            f"execution.address {address}: no Ray answers ({_first_line(error)}). Start one with "
            "`ray start --head`, or set it to local. If it wants a token, set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH."
        ) from error


def count_workers(workers: int | None, cpus: float, gpus: float) -> int:
    """Return how many workers to start: ``workers``, or what the cluster has room for now.

    Raises:
        UserError: If not one worker fits on a Ray without an autoscaler.
    """
    if workers is not None:
        return workers
    total = _resources()
    room = [total.get("CPU", 0) / cpus] if cpus else []
    room += [total.get("GPU", 0) / gpus] if gpus else []
    if room and min(room) < 1:
        raise UserError(
            f"No worker of --execution.cpus_per_worker {cpus:g} and --execution.gpus_per_worker "
            f"{gpus:g} fits. {describe_resources()} On a cluster that grows by itself, name "
            "--execution.workers."
        )
    return int(min(room, default=1))


def describe_resources() -> str:
    """Say in one sentence what the cluster has."""
    total = _resources()
    return f"The cluster has {total.get('CPU', 0):g} CPUs and {total.get('GPU', 0):g} GPUs."


def _resources() -> dict[str, float]:
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
