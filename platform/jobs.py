"""millsight's commands as Ray jobs: submit, follow, list, stop."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from millsight.platform.commands import Outcome
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import digest

# Ray's own type, which jsonargparse would import, for seconds, to show --help.
JobSubmissionClient: TypeAlias = Any

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ENTRYPOINT = ("python", "-m", "millsight.platform.cli")
LOCAL_TOKEN = Path.home() / ".ray" / "auth_token"
INTERRUPTED = 130
# Never uploaded, beside what .gitignore names: each is large or belongs to this machine.
EXCLUDES = [".git", ".venv", "__pycache__", "millsight-runs", "wandb"]


@dataclass
class SubmitConfig:
    """Run a millsight command as a Ray job.

    Attributes:
        command: The words after ``--``, for example ``extract --data steel/``. Paths among them are
            looked up on the cluster: relative ones in the working directory's copy.
        address: The cluster's dashboard; by default ``RAY_API_SERVER_ADDRESS``, else this machine.
        working_dir: Uploaded, less what .gitignore names, and the directory the command runs in;
            at most 100 MiB. By default nothing is uploaded.
        follow: Print the job's log and end with its exit code; otherwise return at once.
        again: Run it even if the same command on the same files has succeeded before.
    """

    command: list[str] = field(default_factory=list)
    address: str | None = None
    working_dir: Path | None = None
    follow: bool = True
    again: bool = False


@dataclass
class JobsConfig:
    """Which cluster to ask.

    Attributes:
        address: The cluster's dashboard; by default ``RAY_API_SERVER_ADDRESS``, else this machine.
    """

    address: str | None = None


@dataclass
class JobConfig:
    """Which job on which cluster.

    Attributes:
        job: The id that ``submit`` and ``jobs list`` print.
        address: The cluster's dashboard; by default ``RAY_API_SERVER_ADDRESS``, else this machine.
    """

    job: str
    address: str | None = None


@dataclass
class LogsConfig(JobConfig):
    """Which job's log.

    Attributes:
        follow: Go on until the job ends, and end with its exit code.
    """

    follow: bool = False


def submit(config: SubmitConfig) -> Outcome:
    """Submit a command; the same command on the same files is one job, however often submitted.

    Returns:
        Exit code: the job's if followed, 130 if following was interrupted, otherwise 0.

    Raises:
        UserError: If there is no command, no cluster answers, or the directory is too large.
    """
    if not config.command:
        raise UserError(
            "Nothing to submit: write the command after --, as in "
            "`millsight submit -- extract --data steel/`."
        )
    client = connect(config.address)
    with _explained(config.address):
        job = _submit_once(client, config)
    if not config.follow:
        print(f"millsight jobs logs {job}    shows its log")
        return Outcome()
    return Outcome(_follow(client, job))


def list_jobs(config: JobsConfig) -> Outcome:
    """Print the cluster's jobs, oldest first."""
    client = connect(config.address)
    with _explained(config.address):
        jobs = client.list_jobs()
    for job in sorted(jobs, key=lambda job: job.start_time or 0):
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime((job.start_time or 0) / 1000))
        print(f"{job.submission_id or job.job_id:24}  {job.status:9}  {began}  {job.entrypoint}")
    return Outcome()


def status(config: JobConfig) -> Outcome:
    """Print one job's state; the exit code is 1 if it failed or was stopped."""
    client = connect(config.address)
    details = _details(client, config)
    print(f"{config.job}  {details.status}  {details.message or ''}".rstrip())
    return Outcome(1 if str(details.status) in {"FAILED", "STOPPED"} else 0)


def logs(config: LogsConfig) -> Outcome:
    """Print one job's log; with ``follow``, until it ends, and return its exit code."""
    client = connect(config.address)
    _details(client, config)
    if config.follow:
        return Outcome(_follow(client, config.job))
    with _explained(config.address):
        print(client.get_job_logs(config.job), end="")
    return Outcome()


def stop(config: JobConfig) -> Outcome:
    """Stop a job; what it had landed stays, and submitting it again goes on from there."""
    client = connect(config.address)
    _details(client, config)
    with _explained(config.address):
        stopped = client.stop_job(config.job)
    print(f"{config.job} {'is being stopped' if stopped else 'had ended already'}")
    return Outcome()


def connect(address: str | None) -> JobSubmissionClient:
    """Return a client of the Jobs API at ``address``.

    Raises:
        UserError: If nothing answers there, or it wants a token.
    """
    if urlsplit(_resolve(address)).hostname in {"127.0.0.1", "localhost"} and LOCAL_TOKEN.exists():
        # `ray start --head` made this token and wants it; elsewhere the user says so.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    from ray.job_submission import JobSubmissionClient

    with _explained(address):
        return JobSubmissionClient(_resolve(address))


def fingerprint(command: list[str], working_dir: Path | None) -> str:
    """Return 12 hex digits over the words and, by Ray's own rule, the files that it would upload.

    Raises:
        UserError: If ``working_dir`` is not a directory.
    """
    files = ""
    if working_dir is not None:
        from ray._private.runtime_env.packaging import get_uri_for_directory

        if not working_dir.is_dir():
            raise UserError(f"--working_dir {working_dir} is not a directory.")
        files = get_uri_for_directory(str(working_dir), include_gitignore=True, excludes=EXCLUDES)
    return digest({"command": command, "files": files})[:12]


def _submit_once(client: JobSubmissionClient, config: SubmitConfig) -> str:
    base = f"millsight-{fingerprint(config.command, config.working_dir)}"
    known = {job.submission_id: str(job.status) for job in client.list_jobs()}
    job, number = base, 1
    while job in known:
        state = known[job]
        if state in {"PENDING", "RUNNING"} or (state == "SUCCEEDED" and not config.again):
            hint = "; --again true runs it anew" if state == "SUCCEEDED" else ""
            print(f"{job}: the same command on the same files is {state} already{hint}")
            return job
        number += 1
        job = f"{base}-{number}"
    runtime_env: dict[str, Any] = {}
    if config.working_dir is not None:
        runtime_env = {"working_dir": str(config.working_dir), "excludes": EXCLUDES}
    entrypoint = shlex.join([*ENTRYPOINT, *config.command])
    client.submit_job(entrypoint=entrypoint, submission_id=job, runtime_env=runtime_env)
    print(f"{job}: submitted; `millsight jobs stop {job}` stops it")
    return job


def _follow(client: JobSubmissionClient, job: str) -> int:
    try:
        asyncio.run(_print_log(client, job))
        while not (details := client.get_job_info(job)).status.is_terminal():
            time.sleep(1)
    except KeyboardInterrupt:
        print(
            f"\n{job} goes on; `millsight jobs logs {job} --follow true` takes up its log again, "
            f"`millsight jobs stop {job}` stops it",
            file=sys.stderr,
        )
        return INTERRUPTED
    # Ray appends the log's end to what went wrong, and all of it has just been printed.
    said = (details.message or "").partition(", last available logs")[0]
    print(f"{job}: {details.status}  {said}".rstrip(), file=sys.stderr)
    if str(details.status) == "SUCCEEDED":
        return 0
    return int(details.driver_exit_code or 1)


async def _print_log(client: JobSubmissionClient, job: str) -> None:
    printed = 0
    try:
        async for text in client.tail_job_logs(job):
            print(text, end="", flush=True)
            printed += len(text)
    except (RuntimeError, OSError):
        # A proxy that cuts websockets: ask for the rest now and then.
        while not client.get_job_status(job).is_terminal():
            printed = _print_rest(client, job, printed)
            await asyncio.sleep(2)
        _print_rest(client, job, printed)


def _print_rest(client: JobSubmissionClient, job: str, printed: int) -> int:
    text = client.get_job_logs(job)
    print(text[printed:], end="", flush=True)
    return len(text)


def _details(client: JobSubmissionClient, config: JobConfig) -> Any:
    known = {job.submission_id: job for job in client.list_jobs()}
    if config.job not in known:
        raise UserError(
            f"{_resolve(config.address)} knows no job {config.job!r}; "
            "`millsight jobs list` shows them."
        )
    return known[config.job]


def _resolve(address: str | None) -> str:
    return address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS


@contextmanager
def _explained(address: str | None) -> Iterator[None]:
    """Turn what Ray's client raises into what the user can do about it."""
    try:
        yield
    except ConnectionError as error:
        raise UserError(
            f"No Ray head answers at {_resolve(address)}. Start one with `ray start --head "
            "--dashboard-host 127.0.0.1`, or name another with --address http://HOST:8265."
        ) from error
    except (RuntimeError, ValueError, _authentication_error()) as error:
        text = str(error)
        if isinstance(error, _authentication_error()):
            raise UserError(
                f"{_resolve(address)} wants a token: set RAY_AUTH_MODE=token and "
                f"RAY_AUTH_TOKEN_PATH=FILE, or RAY_AUTH_TOKEN. Ray says: {text.splitlines()[0]}"
            ) from error
        if "413" in text or ("exceeds" in text and "size" in text):
            raise UserError(
                "--working_dir is over Ray's 100 MiB: name a smaller directory, list its large "
                f"files in .gitignore, and give data by a path that the cluster sees. Ray: {text}"
            ) from error
        raise


def _authentication_error() -> type[Exception]:
    from ray.exceptions import AuthenticationError

    error: type[Exception] = AuthenticationError
    return error
