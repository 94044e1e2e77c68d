"""Threads that work through the job queue inside the service's process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from millsight.platform.errors import UserError
from millsight.platform.services.jobs import Job
from millsight.platform.services.leases import JobQueue, Lease
from millsight.platform.services.problems import ProblemError

POLL_S = 0.5
REPORT_EVERY_S = 0.2
STOP_WITHIN_S = 10.0
MAX_ERROR_CHARACTERS = 500
logger = logging.getLogger(__name__)


class JobStoppedError(Exception):
    """The work is no longer wanted here: cancelled, taken over, or the service shuts down."""


class Progress:
    """How a handler says how far it is, and hears that it should stop.

    Args:
        queue: Where the job came from.
        lease: The right to work on it.
        stopping: Set when the service shuts down.
    """

    def __init__(self, queue: JobQueue, lease: Lease, stopping: threading.Event) -> None:
        self._queue = queue
        self._lease = lease
        self._stopping = stopping
        self._unwanted = threading.Event()
        self._reported = 0.0

    def report(self, done: int, total: int, message: str = "") -> None:
        """Note progress; cheap enough for every picture, written at most five times a second.

        Args:
            done: Units of work finished.
            total: Units of work in all.
            message: What is being done, for a person.

        Raises:
            JobStoppedError: If the work should stop; let it through.
        """
        self.check()
        now = time.monotonic()
        if now - self._reported < REPORT_EVERY_S and done < total:
            return
        self._reported = now
        if not self._queue.progress(self._lease, done, total, message):
            self._unwanted.set()
        self.check()

    def check(self) -> None:
        """Raise ``JobStoppedError`` if the work should stop."""
        if self._unwanted.is_set() or self._stopping.is_set():
            raise JobStoppedError

    def renew(self) -> None:
        """Prolong the lease, or mark the work as no longer wanted."""
        if not self._queue.renew(self._lease):
            self._unwanted.set()


Handler: TypeAlias = Callable[[Job, Progress], Mapping[str, Any]]


class JobWorker:
    """Runs jobs in threads; a handler's lease is renewed beside it.

    A handler returns its JSON-like result. ``UserError`` and ``ProblemError`` fail the job at once
    with their message; any other exception queues it again until its attempts are used up. It may
    begin anew after a kill: what it writes must be whole or absent, as ``storage.writing`` does it.

    Args:
        queue: Where the jobs come from.
        handlers: By kind of job.
        threads: How many jobs run at once.
    """

    def __init__(self, queue: JobQueue, handlers: Mapping[str, Handler], threads: int = 1) -> None:
        self._queue = queue
        self._handlers = dict(handlers)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._count = threads
        self._threads: list[threading.Thread] = []

    @property
    def alive(self) -> bool:
        """Whether every thread is at work."""
        return sum(thread.is_alive() for thread in self._threads) == self._count

    def start(self) -> None:
        """Begin to take jobs, also anew after ``stop``."""
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._work, name=f"job-worker-{i}", daemon=True)
            for i in range(self._count)
        ]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look for a job now instead of within half a second."""
        self._wake.set()

    def stop(self) -> None:
        """Take no more jobs; those at work go back to the queue as soon as they report."""
        self._stopping.set()
        self._wake.set()
        deadline = time.monotonic() + STOP_WITHIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                if lease := self._queue.claim(self._handlers.keys()):
                    self._run(lease)
                    continue
            # A full disk or a locked file now is no reason to stop for ever.
            except Exception:
                logger.exception("the job queue cannot be reached")
            self._wake.wait(POLL_S)
            self._wake.clear()

    def _run(self, lease: Lease) -> None:
        progress = Progress(self._queue, lease, self._stopping)
        try:
            with self._renewing(progress):
                result = self._handlers[lease.job.kind](lease.job, progress)
            self._queue.finish(lease, result)
        except JobStoppedError:
            self._queue.stop(lease)
        except (UserError, ProblemError) as error:
            self._queue.fail(lease, str(error))
        except Exception as error:
            logger.exception("job %s, attempt %d", lease.job.id, lease.job.attempts)
            self._queue.retry(lease, f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS])

    @contextmanager
    def _renewing(self, progress: Progress) -> Iterator[None]:
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self._queue.lease_s / 3):
                try:
                    progress.renew()
                except Exception:
                    logger.exception("a lease could not be renewed")

        thread = threading.Thread(target=renew, name="job-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
