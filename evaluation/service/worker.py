"""The service's side of a job: starts the judging process, follows it, keeps what it made."""

from __future__ import annotations

import json
import logging
import os
import secrets
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millsight.evaluation.service.config import ServeEvaluationConfig
from millsight.evaluation.service.datasets import Dataset
from millsight.evaluation.service.runs import RunStore
from millsight.evaluation.service.submission import Decide, Submission
from millsight.evaluation.service.uploads import UploadStore
from millsight.platform.errors import UserError
from millsight.platform.services.jobs import Job
from millsight.platform.services.problems import ProblemError
from millsight.platform.services.worker import Progress

KIND = "evaluate"
POLL_S = 0.25
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
logger = logging.getLogger(__name__)


class EvaluateHandler:
    """Works on jobs of the kind ``evaluate``.

    Doing it twice is doing it once: the run's id is the job's, and its folder appears whole.

    Args:
        config: Limits, and where things lie.
        datasets: By name.
        runs: Where runs are kept.
        uploads: Where submissions wait.
    """

    def __init__(
        self,
        config: ServeEvaluationConfig,
        datasets: Mapping[str, Dataset],
        runs: RunStore,
        uploads: UploadStore,
    ) -> None:
        self._config = config
        self._datasets = datasets
        self._runs = runs
        self._uploads = uploads

    def __call__(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Judge a submission; returns ``{"run": ID}``."""
        self._uploads.sweep()
        try:
            if not self._runs.exists(job.id):
                self._judge(job, progress)
        except (UserError, ProblemError):
            self._uploads.release(job.request["sha256"], job.id)
            raise
        self._uploads.release(job.request["sha256"], job.id)
        return {"run": job.id}

    def _judge(self, job: Job, progress: Progress) -> None:
        asked = job.request
        dataset = self._datasets.get(asked["dataset"])
        if dataset is None:
            raise UserError(f"The dataset {asked['dataset']!r} is not registered any more.")
        submission = Submission(
            upload=str(self._uploads.path(asked["sha256"])),
            kind=asked["kind"],
            table=str(dataset.table.absolute()),
            by_id=not dataset.is_open,
            run=job.id,
            threshold=asked["threshold"],
            decide=Decide(asked["decide"]),
            resamples=self._config.resamples,
            max_unpacked_bytes=int(self._config.max_unpacked_mib * (1 << 20)),
        )
        with self._working(job) as work:
            self._follow(submission, work, progress)
            self._runs.add(job, dataset, work / "run")
        logger.info("run %s: %s judged on %s", job.id, asked["sha256"][:12], dataset.name)

    @contextmanager
    def _working(self, job: Job) -> Iterator[Path]:
        """Give an attempt a folder of its own: an earlier one may not be quite dead yet."""
        work = (self._runs.work / f"{job.id}-{secrets.token_hex(4)}").absolute()
        work.mkdir(parents=True)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _follow(self, submission: Submission, work: Path, progress: Progress) -> None:
        task = {
            "submission": submission.to_json(),
            "work": str(work),
            "memory_bytes": int(self._config.job_memory_gib * (1 << 30)),
        }
        ended = False
        for said in _run(task, work, progress, self._config.job_minutes):
            if "error" in said:
                raise UserError(said["error"])
            if "bug" in said:
                logger.error("judging failed:\n%s", said["bug"])
                # What went wrong inside may name files, whose names may be labels.
                raise RuntimeError("judging failed by our fault; the service's log says why")
            if "total" in said:
                progress.report(said["done"], said["total"], said["message"])
            ended = said.get("ended", False)
        if not ended:
            raise UserError(
                "The process that judges the submission broke off: a model or a file crashed it, "
                f"or it needs more than {self._config.job_memory_gib:g} GiB of memory."
            )


def _run(
    task: dict[str, Any], work: Path, progress: Progress, minutes: float
) -> Iterator[dict[str, Any]]:
    """Start the process and yield what it says; it is gone when this ends, however it ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "millsight.evaluation.service.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=work,
        env=os.environ | THREADS,
        start_new_session=True,
    )
    assert process.stdin  # noqa: S101 - a pipe, as is the other
    assert process.stdout  # noqa: S101
    try:
        with process.stdin as pipe:
            pipe.write(json.dumps(task).encode() + b"\n")
        yield from _lines(process.stdout.fileno(), progress, time.monotonic() + minutes * 60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _lines(descriptor: int, progress: Progress, deadline: float) -> Iterator[dict[str, Any]]:
    pending = b""
    while True:
        ready = select.select([descriptor], [], [], POLL_S)[0]
        progress.check()
        if time.monotonic() > deadline:
            raise UserError("Judging it took longer than a job may; send a smaller model.")
        if not ready:
            continue
        part = os.read(descriptor, 1 << 16)
        if not part:
            return
        *lines, pending = (pending + part).split(b"\n")
        for line in lines:
            yield json.loads(line)
