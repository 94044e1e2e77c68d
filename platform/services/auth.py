"""Who is asking, and may they: FastAPI dependencies over the token store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from millsight.platform.services.problems import ProblemError
from millsight.platform.services.state import ServiceState, service_of
from millsight.platform.services.tokens import OWNER, Scope, Token

COOKIE = "millsight_token"
SAFE_METHODS = frozenset({"GET", "HEAD"})
FAILED_LOGIN_COST = 10
bearer = HTTPBearer(auto_error=False, description="A token from the service's operator.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


def allowed(scope: Scope) -> Callable[[Request, Credentials], Awaitable[Token]]:
    """Make a dependency that returns the caller's token if it covers ``scope``.

    A page may read with the cookie of ``POST /session``; whatever changes something needs the
    header, so that no other site's form can do it.

    Raises (the dependency):
        ProblemError: 401 without a valid token, 403 without the scope, 429 above the rate.
    """

    async def caller(request: Request, credentials: Credentials) -> Token:
        service = service_of(request)
        token = OWNER if service.open_access else _authenticate(service, request, credentials)
        service.rates.spend(token.id)
        if not token.allows(scope):
            detail = f"The token {token.name!r} does not cover `{scope}`."
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
            raise ProblemError(HTTPStatus.FORBIDDEN, detail, challenge)
        return token

    return caller


Reader = Annotated[Token, Depends(allowed(Scope.READ))]
Submitter = Annotated[Token, Depends(allowed(Scope.SUBMIT))]
Administrator = Annotated[Token, Depends(allowed(Scope.ADMIN))]

router = APIRouter(tags=["session"])


class MeView(BaseModel):
    """Who is asking.

    Attributes:
        name: The token's.
        scopes: What it allows: read, submit, admin.
        open_access: Whether the service asks for no token.
    """

    name: str
    scopes: list[str]
    open_access: bool


@router.get("/me")
async def show_me(request: Request, token: Reader) -> MeView:
    """Show who is asking."""
    service = service_of(request)
    return MeView(name=token.name, scopes=sorted(token.scopes), open_access=service.open_access)


@router.post("/session", status_code=HTTPStatus.NO_CONTENT)
async def open_session(request: Request, token: Reader, credentials: Credentials) -> Response:
    """Give a page a cookie to read with: pictures and progress streams send no headers."""
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    if credentials is not None:
        response.set_cookie(
            COOKIE,
            credentials.credentials,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return response


@router.delete("/session", status_code=HTTPStatus.NO_CONTENT)
async def close_session() -> Response:
    """Take the page's cookie back."""
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _authenticate(
    service: ServiceState, request: Request, credentials: HTTPAuthorizationCredentials | None
) -> Token:
    text = credentials.credentials if credentials else None
    if text is None and request.method in SAFE_METHODS:
        text = request.cookies.get(COOKIE)
    token = service.tokens.authenticate(text) if text else None
    if token is None:
        address = request.client.host if request.client else "unknown"
        service.rates.spend(f"address {address}", FAILED_LOGIN_COST)
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "Send `Authorization: Bearer TOKEN` with a valid token of this service.",
            {"WWW-Authenticate": "Bearer"},
        )
    return token
