"""Where a service may listen, and whom it answers there."""

from __future__ import annotations

import ipaddress
import socket
from http import HTTPStatus

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from millsight.platform.errors import UserError
from millsight.platform.services.config import ServiceConfig
from millsight.platform.services.problems import ProblemError, problem_response
from millsight.platform.services.tokens import TokenStore

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITE = frozenset({"same-origin", "none"})
FINISH_WITHIN_S = 5


def check_binding(host: str, tokens: TokenStore) -> bool:
    """Decide whether the service may listen on ``host``.

    Returns:
        Whether it does so without asking for tokens: on loopback, while no valid token exists.

    Raises:
        UserError: If it would be open to others, or the name does not resolve.
    """
    if tokens.any_valid():
        return False
    if not is_loopback(host):
        raise UserError(
            f"--host {host} can be reached from other machines, and no token exists that would "
            "keep them out: create one first (`millsight tokens create`), or listen on 127.0.0.1."
        )
    return True


def is_loopback(host: str) -> bool:
    """Say whether every address that ``host`` stands for is this machine's own.

    Raises:
        UserError: If the name does not resolve.
    """
    try:
        # An empty host means every interface to uvicorn, but loopback to the resolver.
        found = socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)  # noqa: S104
    except OSError as error:
        raise UserError(f"--host {host} is not an address of this machine: {error}") from None
    return all(ipaddress.ip_address(str(item[4][0])).is_loopback for item in found)


class LocalOnly:
    """Guards a service without tokens against other sites open in its owner's browser.

    A foreign Host header (a name that was made to point at 127.0.0.1) is refused, and so is any
    changing request that a browser sends on another site's behalf.

    Args:
        app: What it stands before.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer this machine and refuse others."""
        if scope["type"] != "http" or _is_own(Headers(scope=scope), scope["method"]):
            await self._app(scope, receive, send)
            return
        detail = "Without tokens the service answers this machine only; create a token to open it."
        refusal = ProblemError(HTTPStatus.FORBIDDEN, detail)
        await problem_response(refusal)(scope, receive, send)


def run_service(app: FastAPI, config: ServiceConfig) -> None:
    """Listen until interrupted; jobs at work go back to the queue."""
    uvicorn.run(
        app,
        host=config.host,
        port=config.port,
        timeout_graceful_shutdown=FINISH_WITHIN_S,
        server_header=False,
        log_level="warning",
    )


def _is_own(headers: Headers, method: str) -> bool:
    host = headers.get("host", "").lower()
    name, colon, port = host.rpartition(":")
    if not (colon and port.isdigit()):
        name = host
    if name not in LOCAL_NAMES:
        return False
    if method in SAFE_METHODS:
        return True
    origin = headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != host
    return not foreign and headers.get("sec-fetch-site", "none") in OWN_SITE
