"""How much a client may send and ask: ASGI middleware that refuses before any work is done."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millsight.platform.services.problems import (
    ProblemError,
    TooManyRequestsError,
    problem_response,
)

BODY_STALL_S = 30.0
BUSY_RETRY_S = 1.0
MAX_KNOWN_CLIENTS = 10_000


class BodyLimit:
    """Refuses bodies that are too long, by their declared length or while they arrive.

    413 answers a body that is too long, 408 one that stalls. The application's own answer to the
    broken-off body is dropped.

    Args:
        app: What it stands before.
        max_bytes: Longest body.
        uploads: Path prefixes with a limit of their own, in bytes.
        stall_s: Longest wait for the next part of a body.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        uploads: Mapping[str, int],
        stall_s: float = BODY_STALL_S,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._uploads = uploads
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body counted, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guard = _GuardedBody(receive, send, self._limit(scope["path"]), self._stall_s)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared[:20]) > guard.max_bytes:
            await problem_response(guard.too_long())(scope, receive, send)
            return
        try:
            await self._app(scope, guard.receive, guard.send)
        except ProblemError as error:
            # Starlette has wrapped or passed on what ``receive`` raised.
            if error is not guard.refusal:
                raise
        if guard.refusal and not guard.started:
            await problem_response(guard.refusal)(scope, receive, send)

    def _limit(self, path: str) -> int:
        found = [limit for prefix, limit in self._uploads.items() if path.startswith(prefix)]
        return max(found, default=self._max_bytes)


class _GuardedBody:
    """One request's ``receive`` and ``send``, with the body counted."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, stall_s: float) -> None:
        self.max_bytes = max_bytes
        self.refusal: ProblemError | None = None
        self.started = False
        self._receive = receive
        self._send = send
        self._stall_s = stall_s
        self._seen = 0
        self._whole = False

    def too_long(self) -> ProblemError:
        size = f"{self.max_bytes:,} bytes"
        return ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body is longer than the {size} this address takes, or its length is unclear.",
            {"Connection": "close"},
        )

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._stall_s)
        except TimeoutError:
            text = f"No part of the body came for {self._stall_s:g} seconds."
            self._refuse(ProblemError(HTTPStatus.REQUEST_TIMEOUT, text, {"Connection": "close"}))
        self._seen += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._seen > self.max_bytes:
            self._refuse(self.too_long())
        return message

    async def send(self, message: Message) -> None:
        if self.refusal and not self.started:
            return
        self.started = True
        await self._send(message)

    def _refuse(self, refusal: ProblemError) -> None:
        self.refusal = refusal
        raise refusal


class Backpressure:
    """Answers 429 with Retry-After while too many requests are at work.

    A progress stream counts only until it begins; ``EventStreams`` counts those.

    Args:
        app: What it stands before.
        max_active: Requests at once.
        exempt: Paths that are always let through: health checks must answer under load.
    """

    def __init__(self, app: ASGIApp, max_active: int, exempt: frozenset[str]) -> None:
        self._app = app
        self._max_active = max_active
        self._exempt = exempt
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it while too many are at work."""
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        if self._active >= self._max_active:
            busy = TooManyRequestsError("The service is busy.", BUSY_RETRY_S)
            await problem_response(busy)(scope, receive, send)
            return
        held = True

        def release() -> None:
            nonlocal held
            self._active -= held
            held = False

        async def watched(message: Message) -> None:
            if (b"content-type", b"text/event-stream") in message.get("headers", ()):
                release()
            await send(message)

        self._active += 1
        try:
            await self._app(scope, receive, watched)
        finally:
            release()


class RateLimit:
    """Token buckets: each client may spend ``burst`` at once and ``per_second`` on the long run.

    Args:
        per_second: What flows back.
        burst: The most that can be saved.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, client: str, cost: float = 1) -> None:
        """Take ``cost`` from a client's bucket.

        Raises:
            TooManyRequestsError: If it does not hold so much; nothing is taken then.
        """
        with self._lock:
            now = self._clock()
            left, at = self._buckets.pop(client, (self._burst, now))
            left = min(self._burst, left + (now - at) * self._per_second)
            enough = left >= cost
            self._buckets[client] = (left - cost if enough else left, now)
            if len(self._buckets) > MAX_KNOWN_CLIENTS:
                self._buckets.popitem(last=False)
        if not enough:
            wait = (cost - left) / self._per_second
            raise TooManyRequestsError("Too many requests from this client.", wait)
