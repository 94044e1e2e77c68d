"""The page: static files from the package, which load nothing from anywhere else."""

from __future__ import annotations

from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response

from millsight.platform.services.problems import ProblemError

FOLDER = Path(str(files("millsight.evaluation.service"))) / "page"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
router = APIRouter(include_in_schema=False)


@router.get("/")
def show_page() -> Response:
    """Send the page."""
    return _send("index.html")


@router.get("/page/{name}")
def show_page_file(name: str) -> Response:
    """Send one of the page's files."""
    return _send(name)


def _send(name: str) -> Response:
    # Looked up in a list, so that no name leads out of the folder.
    known = {path.name: path for path in FOLDER.glob("*") if path.suffix in MEDIA_TYPES}
    if name not in known:
        raise ProblemError(HTTPStatus.NOT_FOUND, "The page has no such file.")
    path = known[name]
    return FileResponse(path, headers=HEADERS, media_type=MEDIA_TYPES[path.suffix])
