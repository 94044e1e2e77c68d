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
from millsight.platform.tracking.tracker import Picture, RunInfo, Scalar, Status

# What waits for W&B in memory at most; beyond it, calls are dropped and counted.
QUEUE_CALLS = 10_000
# How long `finish` waits for W&B: the most that W&B can add to a run.
FINISH_SECONDS = 20.0
INIT_SECONDS = 8.0
REQUEST_SECONDS = 4.0
RETRIES = 1


class WandbTracker:
    """Hands every call to a thread of its own, which talks to W&B.

    ``log`` and its like never block and never raise. The first thing that goes wrong is one
    warning; what W&B refuses after it is lost to W&B in silence. Where the server cannot be
    reached at the start, the run is written offline, for ``wandb sync``. ``finish`` waits
    ``FINISH_SECONDS`` at most.

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
        self, name: str, pictures: Mapping[str, Picture], step: int | None = None
    ) -> None:
        """See ``Tracker.log_pictures``."""
        at = self._next_step if step is None else step
        kept = {
            c: str(picture) if isinstance(picture, Path) else picture.copy()
            for c, picture in pictures.items()
        }

        def call(run: Any) -> None:
            import wandb

            run.log({name: [wandb.Image(p, caption=c) for c, p in kept.items()], "step": at})

        self._put(call)

    def table(self, name: str, rows: Sequence[Mapping[str, Scalar]]) -> None:
        """See ``Tracker.table``."""
        columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
        data: Any = [[row.get(column) for column in columns] for row in to_json(rows)]

        def call(run: Any) -> None:
            import wandb

            run.log({name: wandb.Table(columns=columns, data=data, allow_mixed_types=True)})

        self._put(call)

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
                f"`wandb sync --id {run_id} {self._directory / 'wandb'}/offline-run-*-{run_id}-*`.",
                stacklevel=1,
            )
        # W&B's service keeps hold of the id that it could not open.
        return self._init("offline", f"{run_id}-offline")

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
