from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from millsight.platform import jobs
from millsight.platform.errors import UserError
from millsight.platform.jobs import JobConfig, JobsConfig, LogsConfig, SubmitConfig


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """A Ray head of this test's own, ended by its process, never by `ray stop`."""
    dashboard = free_port()
    scripts = Path(sys.executable).parent
    # Not pytest's directory: Ray's sockets lie in it and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="rayhead") as directory:
        environment = os.environ | {
            "RAY_TMPDIR": directory,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        }
        words = [
            *(str(scripts / "ray"), "start", "--head", "--block", "--num-cpus=2"),
            *(f"--port={free_port()}", f"--dashboard-port={dashboard}"),
            *(f"--ray-client-server-port={free_port()}", "--dashboard-agent-listen-port=0"),
            *(f"--dashboard-agent-grpc-port={free_port()}", f"--metrics-export-port={free_port()}"),
            "--object-store-memory=150000000",
        ]
        process = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        address = f"http://127.0.0.1:{dashboard}"
        try:
            wait_until_it_answers(address)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def wait_until_it_answers(address: str) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(f"{address}/api/version", timeout=2)  # noqa: S310
        except urllib.error.HTTPError:  # wants its token, so it is there
            return
        except OSError:
            assert time.monotonic() < end, "the head did not start"
            time.sleep(0.3)
        else:
            return


def test_no_head_says_how_to_start_one() -> None:
    with pytest.raises(UserError, match="ray start --head"):
        jobs.submit(SubmitConfig(["--version"], address=f"http://127.0.0.1:{free_port()}"))


def test_nothing_to_submit() -> None:
    with pytest.raises(UserError, match="after --"):
        jobs.submit(SubmitConfig([]))


def test_fingerprint_follows_command_and_files(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("a")
    first = jobs.fingerprint(["run", "recipe.yaml"], tmp_path)
    assert jobs.fingerprint(["run", "recipe.yaml"], tmp_path) == first
    assert jobs.fingerprint(["run", "other.yaml"], tmp_path) != first
    (tmp_path / ".gitignore").write_text("ignored\n")
    with_ignore = jobs.fingerprint(["run", "recipe.yaml"], tmp_path)
    (tmp_path / "ignored").write_text("not uploaded")
    assert jobs.fingerprint(["run", "recipe.yaml"], tmp_path) == with_ignore
    (tmp_path / "recipe.yaml").write_text("b")
    assert jobs.fingerprint(["run", "recipe.yaml"], tmp_path) != with_ignore


@pytest.mark.slow
def test_submit_follow_again_and_fail(
    head: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note.txt").write_text("uploaded")
    config = SubmitConfig(["--version"], address=head, working_dir=tmp_path)
    assert jobs.submit(config).exit_code == 0
    out = capfd.readouterr().out
    job = out.split(":", 1)[0]
    assert "0.1.0" in out

    assert jobs.submit(config).exit_code == 0
    assert "SUCCEEDED already" in capfd.readouterr().out
    config.again = True
    assert jobs.submit(config).exit_code == 0
    assert capfd.readouterr().out.startswith(f"{job}-2: submitted")

    wrong = SubmitConfig(["no-such-command"], address=head)
    assert jobs.submit(wrong).exit_code == 2
    printed = capfd.readouterr()
    assert "no such command" in printed.out
    assert "exit code 2" in printed.err
    assert "no such command" not in printed.err, "the log has been printed already"
    assert jobs.submit(wrong).exit_code == 2, "a failed job is tried again, under a new id"
    assert "-2: submitted" in capfd.readouterr().out

    assert jobs.list_jobs(JobsConfig(head)).exit_code == 0
    assert job in capfd.readouterr().out
    assert jobs.status(JobConfig(job, head)).exit_code == 0
    assert jobs.logs(LogsConfig(job, head)).exit_code == 0
    assert "0.1.0" in capfd.readouterr().out
    assert jobs.stop(JobConfig(job, head)).exit_code == 0
    with pytest.raises(UserError, match="jobs list"):
        jobs.status(JobConfig("millsight-none", head))


@pytest.mark.slow
def test_driver_inside_a_job_joins_its_cluster(
    head: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "platform").mkdir()  # as where the repository itself is the working directory
    words = ["doctor", "--cluster", "auto"]
    assert jobs.submit(SubmitConfig(words, address=head, working_dir=tmp_path)).exit_code == 0
    out = capfd.readouterr().out
    assert "standard library's platform" in out
    assert "1 machine:" in out


@pytest.mark.slow
def test_working_directory_too_large(head: str, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(os.urandom(101 * 2**20))
    with pytest.raises(UserError, match="100 MiB"):
        jobs.submit(SubmitConfig(["--version"], address=head, working_dir=tmp_path))
