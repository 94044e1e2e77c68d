"""Submissions waiting to be judged: one file per content, gone when no job needs it."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from millsight.platform.services.database import Database
from millsight.platform.services.jobs import Job
from millsight.platform.services.uploads import SavedUpload, save_body

WAITING = (
    "SELECT 1 FROM jobs WHERE state IN ('queued', 'running') AND id != ?"
    " AND json_extract(request, '$.sha256') = ? LIMIT 1"
)


class UploadStore:
    """Files named by their SHA-256, kept while a queued or running job names them.

    Args:
        folder: Made if missing; what an earlier process left unneeded is removed.
        database: Where the jobs lie.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database
        # Between a file's arrival and its job's, nothing shows that it is needed.
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(".*/"):
            shutil.rmtree(path)
        self.sweep()

    def path(self, sha256: str) -> Path:
        """Return where a file is or would be."""
        return (self._folder / sha256).absolute()

    async def receive(self, stream: AsyncIterator[bytes]) -> SavedUpload:
        """Save a body in a folder of its own, until ``keep`` takes it over."""
        folder = self._folder / f".{secrets.token_hex(8)}"
        try:
            return await save_body(stream, folder)
        except BaseException:
            # Also when the client goes away, which cancels this.
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def keep(self, upload: SavedUpload, submit: Callable[[], Job]) -> Job:
        """Submit the job that needs a received file, and keep the file just if it does."""
        try:
            with self._lock:
                upload.path.replace(self.path(upload.sha256))
                try:
                    return submit()
                finally:
                    self._release(upload.sha256, "")
        finally:
            shutil.rmtree(upload.path.parent, ignore_errors=True)

    def sweep(self) -> None:
        """Remove every file that no job waits for."""
        for path in self._folder.glob("[0-9a-f]*"):
            self.release(path.name)

    def release(self, sha256: str, job: str = "") -> None:
        """Remove a file unless another job than ``job`` waits for it."""
        with self._lock:
            self._release(sha256, job)

    def _release(self, sha256: str, job: str) -> None:
        if not self._database.all(WAITING, job, sha256):
            self.path(sha256).unlink(missing_ok=True)
