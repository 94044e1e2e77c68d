"""A job's progress as Server-Sent Events, resumable at any point."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from millsight.platform.services.job_view import JobView
from millsight.platform.services.jobs import ENDED, Job, JobStore
from millsight.platform.services.problems import TooManyRequestsError

HEARTBEAT_S = 15.0
POLL_S = 0.25
# A stream ends now and then, so that a revoked token does not listen for ever.
LONGEST_S = 600.0
RECONNECT_MS = 2000
RETRY_WHEN_FULL_S = 5
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStreams:
    """Streams of job snapshots.

    Each event carries the whole job and its version as id, so a client that reconnects with
    Last-Event-ID misses nothing that still matters and sees nothing twice, even over a restart.

    Args:
        jobs: Where the jobs lie.
        max_streams: Streams open at once.
        heartbeat_s: A comment goes out after so long without news, to keep proxies from closing.
    """

    def __init__(self, jobs: JobStore, max_streams: int, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._jobs = jobs
        self._max_streams = max_streams
        self._heartbeat_s = heartbeat_s
        self._open = 0

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open

    def response(self, job: str, last_event_id: str | None) -> Response:
        """Answer with a stream that ends with the job.

        204, which tells an EventSource not to reconnect, if the client has seen the job's end.

        Raises:
            ProblemError: 404 if there is no such job, 429 if too many streams are open.
        """
        now = self._jobs.get(job)
        if now.state in ENDED and last_event_id == str(now.version):
            return Response(status_code=204)
        if self._open >= self._max_streams:
            raise TooManyRequestsError("Too many progress streams are open.", RETRY_WHEN_FULL_S)
        stream = self._stream(job, last_event_id)
        # Spelled out: Starlette would add a charset, and Backpressure looks for exactly this.
        headers = HEADERS | {"Content-Type": "text/event-stream"}
        return StreamingResponse(stream, headers=headers)

    async def _stream(self, job: str, seen: str | None) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            yield f"retry: {RECONNECT_MS}\n\n".encode()
            began = spoke = time.monotonic()
            while (now := time.monotonic()) - began < LONGEST_S:
                # Read on the event loop: a WAL read by key takes 30 us and waits for no writer.
                current = self._jobs.get(job)
                if str(current.version) != seen:
                    seen, spoke = str(current.version), now
                    yield to_event(current)
                elif now - spoke >= self._heartbeat_s:
                    spoke = now
                    yield b": still here\n\n"
                if current.state in ENDED:
                    return
                await asyncio.sleep(POLL_S)
        finally:
            self._open -= 1


def to_event(job: Job) -> bytes:
    """Write a job as one event, named by its state: id, event and data lines, and an empty one."""
    data = JobView.of(job).model_dump_json()
    return f"id: {job.version}\nevent: {job.state}\ndata: {data}\n\n".encode()
