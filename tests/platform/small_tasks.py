"""What the tests of tasks run; Ray's workers get it by value."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path

from millsight.platform.errors import UserError


def attempts(folder: Path, name: str) -> int:
    return len(list(folder.glob(f"{name}.*")))


def work(folder: Path, name: str, fate: str) -> tuple[int, str | None, str]:
    """Leave a file, then meet one's fate; return process, threads and working directory."""
    (folder / f"{name}.{secrets.token_hex(4)}").touch()
    if fate == "kill" or (fate == "kill-once" and attempts(folder, name) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "raise-once" and attempts(folder, name) == 1:
        raise ValueError(name)
    if fate == "user-error":
        raise UserError("--flag: wrong")
    return os.getpid(), os.environ.get("OMP_NUM_THREADS"), str(Path.cwd())
