"""The process that opens strangers' files: limited memory, and gone when the service is.

``python -m millsight.evaluation.service.process`` reads a ``Task`` as JSON from its input and
writes one JSON object a line: progress, and at the end ``{"done": true}`` or what went wrong.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

NICENESS = 5
PR_SET_PDEATHSIG = 1
MAX_FILE_BYTES = 16 << 30
MAX_OPEN_FILES = 256


def limit(memory_bytes: int) -> None:
    """Bound this process; on Linux it also ends with the thread that started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(NICENESS)
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def main() -> int:
    """Judge the submission on the standard input."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    # What native libraries print is not the service's to read.
    os.dup2(2, 1)
    task = json.loads(sys.stdin.readline())
    limit(task["memory_bytes"])
    try:
        _judge(task, out)
    except MemoryError:
        gib = task["memory_bytes"] / (1 << 30)
        _say(out, error=f"Judging it needs more than the {gib:g} GiB of memory a job may take.")
    except Exception as error:
        from millsight.platform.errors import UserError
        from millsight.platform.services.problems import ProblemError

        if isinstance(error, UserError | ProblemError):
            _say(out, error=str(error))
        else:
            _say(out, bug=traceback.format_exc())
    else:
        _say(out, ended=True)
    return 0


def _judge(task: dict[str, Any], out: Any) -> None:
    from millsight.evaluation.service.judging import judge
    from millsight.evaluation.service.submission import Submission

    def report(done: int, total: int, message: str) -> None:
        _say(out, done=done, total=total, message=message)

    judge(Submission.from_json(task["submission"]), Path(task["work"]), report)


def _say(out: Any, **content: Any) -> None:
    out.write(json.dumps(content) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
