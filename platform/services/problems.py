"""Every error leaves the service as RFC 9457 problem details, ``application/problem+json``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from millsight.platform.errors import UserError

MEDIA_TYPE = "application/problem+json"
MAX_LISTED_ERRORS = 50
logger = logging.getLogger(__name__)


class FieldError(BaseModel):
    """One thing wrong with a request.

    Attributes:
        detail: What is wrong, for a person.
        pointer: Where: the part of the request and the path in it, as in ``body/boxes/3``.
    """

    detail: str
    pointer: str


class Problem(BaseModel):
    """RFC 9457 problem details.

    Attributes:
        type: Always ``about:blank``: the status says the kind.
        title: The status in words.
        status: The HTTP status.
        detail: What happened this time, and the way out.
        errors: For a request that does not validate, each thing wrong.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default_factory=list)


class ProblemError(Exception):
    """An expected refusal, which the service answers with problem details.

    Args:
        status: HTTP status, 4xx or 5xx.
        detail: What happened and the way out, for the client's eyes.
        headers: Headers of the answer, for example ``Retry-After``.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class InvalidError(ProblemError):
    """422: one field of the body makes no sense, for a reason that its form cannot tell.

    Args:
        field: Its name in the body.
        detail: What is wrong and the way out.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {detail}")
        self.errors = [FieldError(detail=detail, pointer=f"body/{field}")]


class TooManyRequestsError(ProblemError):
    """429: come back later.

    Args:
        detail: Which limit was met.
        retry_after: Seconds until trying again makes sense; rounded up, at least 1.
    """

    def __init__(self, detail: str, retry_after: float) -> None:
        seconds = max(1, -int(-retry_after // 1))
        super().__init__(HTTPStatus.TOO_MANY_REQUESTS, detail, {"Retry-After": str(seconds)})


def problem_response(error: ProblemError, errors: list[FieldError] | None = None) -> Response:
    """Make the answer for a refusal."""
    title = HTTPStatus(error.status).phrase
    problem = Problem(title=title, status=error.status, detail=error.detail, errors=errors or [])
    # ASCII, since a detail may quote a lone surrogate, which has no UTF-8 form.
    body = json.dumps(problem.model_dump(exclude_defaults=True) | {"type": problem.type})
    return Response(body, error.status, error.headers, MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Answer every error of ``app`` with problem details: 404, 405, validation and bugs as well."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(UserError, _on_user_error)
    app.add_exception_handler(Exception, _on_bug)


def describe_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """Say in an OpenAPI schema that every operation may answer with problem details."""
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components |= made.pop("$defs") | {"Problem": made}
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in schema["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "A problem", "content": content}
    return schema


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - Starlette's handler type is wider
    return problem_response(error, error.errors if isinstance(error, InvalidError) else None)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request) or headers["Allow"]
    return problem_response(ProblemError(error.status_code, str(error.detail), headers))


def _allowed(request: Request) -> str:
    """All methods of an address: Starlette names only those of the first route that fits."""
    path = request.app.openapi()["paths"].get(getattr(request.scope.get("route"), "path", None), {})
    return ", ".join(sorted(method.upper() for method in path))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [
        FieldError(detail=item["msg"], pointer="/".join(str(part)[:100] for part in item["loc"]))
        for item in error.errors()[:MAX_LISTED_ERRORS]
    ]
    detail = f"{len(error.errors())} error(s) in the request; see `errors`"
    return problem_response(ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail), found)


async def _on_user_error(request: Request, error: Exception) -> Response:
    return problem_response(ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)))


async def _on_bug(request: Request, error: Exception) -> Response:
    logger.error("bug while answering %s %s", request.method, request.url.path, exc_info=error)
    # What went wrong inside is the log's, not the client's.
    detail = "An error on our side; it is in the service's log."
    return problem_response(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, detail))
