"""Weights & Biases, kept at arm's length: it may be slow, absent or broken, and the run goes on."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from millsight.platform.fingerprints import to_json
from millsight.platform.tracking.tracker import RunInfo, Status
from millsight.platform.tracking.values import (
    Curve,
    Overlay,
    Picture,
    Row,
    Scalar,
    capped,
    thinned,
)
from millsight.platform.tracking.wandb_values import frozen, to_chart, to_image, to_table

# What waits for W&B in memory at most; beyond it, calls are dropped and counted.
QUEUE_CALLS = 10_000
# How long `finish` waits for W&B.
FINISH_SECONDS = 20.0
# What W&B adds to a process at most, its end included. Measured on two cores, from 200 calls of
# `log` to the process's end, the server out of order at the start or midway: 2.6-4.4 s with 500,
# 503, 429 or a vanished server, 10.8 s with one that accepts and never answers; 18.6 s with six of
# them at once (python -m pytest tests/platform/test_wandb_online.py -k outage -s).
OUTAGE_SECONDS = FINISH_SECONDS + 10.0
INIT_SECONDS = 8.0
REQUEST_SECONDS = 4.0
RETRIES = 1
# Of the id of a run that could not be opened online; `millsight track sync` takes it off again.
OFFLINE_SUFFIX = "-offline"


class WandbTracker:
    """Hands every call to a thread of its own, which talks to W&B.

    ``log`` and its like never block and never raise. The first thing that goes wrong is one
    warning; what W&B refuses after it is lost to W&B in silence. Where the server cannot be
    reached at the start, the run is written offline, for ``millsight track sync``.
    ``finish`` waits ``FINISH_SECONDS`` at most, and an outage of W&B adds ``OUTAGE_SECONDS`` (30)
    at most to the process; measured, 2.6 to 10.8 s.

    The run's id is ``RunInfo.id``, so that a rerun goes on with the same run on the server. The
    x axis is the metric ``step``.

    Args:
        directory: Holds W&B's files: ``wandb/`` and, for pictures and tables, ``wandb-data/``.
        run: Which run.
        mode: Online or offline.
        project: W&B project.
        entity: W&B user or team.
        first_step: Step of the first ``log`` that names none.
    """

    def __init__(
        self,
        directory: Path,
        run: RunInfo,
        mode: Literal["online", "offline"],
        *,
        project: str,
        entity: str | None,
        first_step: int = 0,
    ) -> None:
        self._directory = directory.absolute()
        self._run_info = run
        self._mode = mode
        self._project = project
        self._entity = entity
        self._calls: queue.Queue[Callable[[Any], None] | None] = queue.Queue(QUEUE_CALLS)
        self._warned = False
        self._done = threading.Event()
        self._next_step = first_step
        self._exit_code: int | None = None
        threading.Thread(target=self._work, name="wandb-tracker", daemon=True).start()

    def log(self, metrics: Mapping[str, Scalar], step: int | None = None) -> None:
        """See ``Tracker.log``."""
        at = self._next_step if step is None else step
        self._next_step = at + 1
        row = {**to_json(metrics), "step": at}
        self._put(lambda run: run.log(row))

    def log_pictures(
        self, name: str, pictures: Mapping[str, Picture | Overlay], step: int | None = None
    ) -> None:
        """See ``Tracker.log_pictures``."""
        at = self._next_step if step is None else step
        kept = {caption: frozen(picture) for caption, picture in pictures.items()}
        self._put(
            lambda run: run.log({name: [to_image(p, c) for c, p in kept.items()], "step": at})
        )

    def table(self, name: str, rows: Sequence[Row]) -> None:
        """See ``Tracker.table``."""
        kept = [
            {k: frozen(v) if isinstance(v, Overlay) else to_json(v) for k, v in row.items()}
            for row in capped(rows)
        ]
        self._put(lambda run: run.log({name: to_table(kept)}))

    def curve(self, name: str, points: Curve) -> None:
        """See ``Tracker.curve``."""
        kept = thinned(points)
        self._put(lambda run: run.log({name: to_chart(name, kept)}))

    def summary(self, metrics: Mapping[str, Scalar]) -> None:
        """See ``Tracker.summary``."""
        values = to_json(metrics)
        self._put(lambda run: run.summary.update(values))

    def finish(self, status: Status = "finished") -> None:
        """See ``Tracker.finish``; returns after ``FINISH_SECONDS`` even if W&B does not."""
        self._exit_code = 0 if status == "finished" else 1
        deadline = time.monotonic() + FINISH_SECONDS
        with contextlib.suppress(queue.Full):
            self._calls.put(None, timeout=FINISH_SECONDS)
        if not self._done.wait(deadline - time.monotonic()):
            self._warn(f"did not finish within {FINISH_SECONDS:.0f} s")

    def _put(self, call: Callable[[Any], None]) -> None:
        if self._done.is_set():
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._warn(f"is more than {QUEUE_CALLS} calls behind")

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"W&B {reason}; run.jsonl has everything.", stacklevel=2)

    def _work(self) -> None:
        try:
            run = self._begin()
            while (call := self._calls.get()) is not None:
                self._try(call, run)
            run.finish(exit_code=self._exit_code)
        # Whatever W&B throws, the run that it watches goes on.
        except Exception as error:
            self._warn(f"failed ({_first_line(error)})")
        finally:
            self._done.set()

    def _try(self, call: Callable[[Any], None], run: Any) -> None:
        try:
            call(run)
        # A table that W&B refuses shall not cost the numbers before and after it.
        except Exception as error:
            self._warn(f"refused a call ({_first_line(error)})")

    def _begin(self) -> Any:
        # Else pictures and tables on their way would lie in the user's home directory.
        os.environ.setdefault("WANDB_DATA_DIR", str(self._directory / "wandb-data"))
        os.environ.setdefault("WANDB_SILENT", "true")
        # W&B's reports about itself would hold the process for 20 s where its server hangs.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        Path(os.environ["WANDB_DATA_DIR"]).mkdir(parents=True, exist_ok=True)
        run_id = self._run_info.id
        if self._mode == "offline":
            return self._init("offline", run_id)
        try:
            return self._init("online", run_id)
        except wandb.Error as error:
            warnings.warn(
                f"W&B cannot be reached ({_first_line(error)}); writing offline, for "
                f"`millsight track sync --directory {self._directory}`.",
                stacklevel=1,
            )
        # W&B's service keeps hold of the id that it could not open.
        return self._init("offline", f"{run_id}{OFFLINE_SUFFIX}")

    def _init(self, mode: Literal["online", "offline"], run_id: str) -> Any:
        import wandb

        info = self._run_info
        run = wandb.init(
            mode=mode,
            project=self._project,
            entity=self._entity,
            dir=str(self._directory),
            id=run_id,
            name=info.id,
            job_type=info.name,
            group=info.group,
            tags=list(info.tags),
            config={**to_json(info.config), "fingerprint": info.fingerprint},
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            settings=_settings(wandb),
        )
        run.define_metric("*", step_metric="step")
        return run


def _settings(wandb: Any) -> Any:
    waits = {"retry_max": RETRIES, "retry_wait_min_seconds": 1, "retry_wait_max_seconds": 1}
    limits = {
        f"x_{channel}_{name}": value
        for channel in ("graphql", "file_stream", "file_transfer")
        for name, value in {**waits, "timeout_seconds": REQUEST_SECONDS}.items()
    }
    return wandb.Settings(
        init_timeout=INIT_SECONDS,
        login_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS / 2,
        x_service_wait=INIT_SECONDS,
        console="off",
        silent=True,
        disable_code=True,
        disable_git=True,
        x_disable_stats=True,
        **limits,
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
