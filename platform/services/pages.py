"""A service's page: static files from a package, which load nothing from anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response

from millsight.platform.services.problems import ProblemError

INDEX = "index.html"
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


def page_router(package: str) -> APIRouter:
    """Make the routes ``/``, which is ``index.html``, and ``/page/NAME``.

    Args:
        package: Has the page's own files in ``page/``; what all pages share lies beside this file.
    """
    router = APIRouter(include_in_schema=False)
    folders = [Path(str(files(name))) / "page" for name in (__package__, package)]

    @router.get("/")
    def show_page() -> Response:
        """Send the page."""
        return _send(folders, INDEX)

    @router.get("/page/{name}")
    def show_page_file(name: str) -> Response:
        """Send one of the page's files."""
        return _send(folders, name)

    return router


def _send(folders: Sequence[Path], name: str) -> Response:
    # Looked up in a list, so that no name leads out of the folders.
    found = (path for folder in folders for path in folder.glob("*"))
    known = {path.name: path for path in found if path.suffix in MEDIA_TYPES}
    if name not in known:
        raise ProblemError(HTTPStatus.NOT_FOUND, "The page has no such file.")
    path = known[name]
    return FileResponse(path, headers=HEADERS, media_type=MEDIA_TYPES[path.suffix])
