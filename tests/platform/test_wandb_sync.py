"""``millsight track sync``: folder by folder, counted on the server."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import wandb
from wandb_server import Fault, WandbServer

from millsight.platform.errors import UserError
from millsight.platform.tracking import RunInfo, TrackingConfig, sync, track
from millsight.platform.tracking import commands as track_commands
from millsight.platform.tracking.commands import SyncConfig
from millsight.platform.tracking.wandb_file import (
    BLOCK_BYTES,
    CHUNK_HEADER,
    read_wandb,
    write_rest,
)

pytestmark = pytest.mark.usefixtures("no_wandb_account")

RUN = RunInfo("train", "aa" * 32, group="quickstart")
STEPS = 150


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run in two folders, as a resumed one leaves it, with a table in each."""
    directory = tmp_path_factory.mktemp("offline")
    config = TrackingConfig("offline", directory=str(directory))
    for part in range(2):
        with track(config, RUN) as tracker:
            for step in range(STEPS):
                tracker.log({"loss": part + step / STEPS, "padding": "x" * 300})
            tracker.table("ranking", [{"part": part}])
            tracker.summary({"auroc": 0.5 + part})
        # W&B's service names folders by the second, and writes the end a moment later.
        time.sleep(1.1)
    wandb.teardown()
    return directory


@pytest.fixture
def runs(offline: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(offline, tmp_path / "tracking", symlinks=True))


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("run-*.wandb") if not path.parent.is_symlink())


def push(directory: Path, timeout: float = 240) -> int:
    return track_commands.sync(SyncConfig(directory=str(directory), timeout=timeout)).exit_code


def test_two_folders_arrive_in_order_and_only_once(
    runs: Path, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(runs) == 0
    total = sum(read_wandb(path).rows for path in files(runs))
    assert f"2 of 2 folders whole on the server, {total} of {total} rows" in capsys.readouterr().out
    history = wandb_server.history(RUN.id)
    losses = [row["loss"] for row in history if "loss" in row]
    assert losses == [part + step / STEPS for part in range(2) for step in range(STEPS)]
    assert len(history) == total == 2 * STEPS + 2
    assert wandb_server.table(RUN.id, "ranking")["data"] == [[1]]
    assert wandb_server.summary(RUN.id)["auroc"] == 1.5
    assert push(runs) == 0
    assert len(wandb_server.history(RUN.id)) == total
    assert capsys.readouterr().out.count("there\n") == 2


def test_a_torn_file_is_told(
    runs: Path, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(files(runs)[1].parent)
    (path,) = files(runs)
    # Between two records nothing is torn.
    content, cut = path.read_bytes(), BLOCK_BYTES + 3000
    path.write_bytes(content[:cut])
    if not read_wandb(path).damaged:
        path.write_bytes(content[: cut + 1])
    whole = read_wandb(path).rows
    assert 0 < whole < STEPS
    for _ in range(2):
        assert push(runs) == 1
        said = capsys.readouterr().out
        assert f"{whole} rows, {whole} arrived, torn" in said
        assert f"{2 * STEPS - whole} of the {2 * STEPS} steps in run.jsonl are in none" in said
    assert len(wandb_server.history(RUN.id)) == whole


def test_a_file_is_whole_at_a_record_s_end_only(runs: Path, tmp_path: Path) -> None:
    path = files(runs)[0]
    content, torn = path.read_bytes(), tmp_path / "run-torn.wandb"
    ends = []
    for cut in range(BLOCK_BYTES - 600, BLOCK_BYTES + 600):
        torn.write_bytes(content[:cut])
        ends += [cut] if not read_wandb(torn).damaged else []
    assert 2 <= len(ends) <= 8
    assert min(np.diff(ends)) > CHUNK_HEADER.size


def test_lost_rows_are_told_and_no_folder_goes_before_them(
    runs: Path,
    wandb_server: WandbServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sync, "COUNT_SECONDS", 0.0)
    wandb_server.room = STEPS - 1
    assert push(runs) == 1
    said = capsys.readouterr().out
    assert ", short\n  not every row arrived" in said
    assert ", held back\n  this run has arrived in part" in said
    assert "0 of 2 folders whole" in said


def test_a_run_of_which_the_end_is_missing_is_completed(
    tmp_path: Path, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb_server.room = 2 * STEPS // 3
    with track(TrackingConfig(directory=str(tmp_path)), RUN) as tracker:
        for step in range(STEPS):
            tracker.log({"loss": float(step)})
    # Its service goes on writing the run's file after the run has ended.
    wandb.teardown()
    assert len(wandb_server.history(RUN.id)) == wandb_server.room
    wandb_server.room = None
    assert push(tmp_path) == 0
    assert [row["loss"] for row in wandb_server.history(RUN.id)] == list(range(STEPS))
    assert f"{STEPS} rows, {STEPS} arrived, pushed" in capsys.readouterr().out
    assert [path.name for path in tmp_path.rglob("rest-*")] == []


def test_a_run_begun_without_a_server_arrives_under_its_own_id(
    tmp_path: Path, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millsight.platform.tracking.wandb_tracker.INIT_SECONDS", 2.0)
    wandb_server.fault = 500
    with (
        pytest.warns(UserWarning, match="millsight track sync"),
        track(TrackingConfig(directory=str(tmp_path)), RUN) as tracker,
    ):
        tracker.log({"loss": 1.0})
    # Its service goes on writing the run's file after the run has ended.
    wandb.teardown()
    wandb_server.fault = None
    assert push(tmp_path) == 0
    assert list(wandb_server.runs) == [RUN.id]
    assert [row["loss"] for row in wandb_server.history(RUN.id)] == [1.0]


@pytest.mark.parametrize("fault", [500, 503, 429, None])
def test_without_a_server_nothing_is_tried(
    runs: Path, wandb_server: WandbServer, fault: Fault | None
) -> None:
    wandb_server.fault = fault
    if fault is None:
        wandb_server.vanish()
    begun = time.monotonic()
    with pytest.raises(UserError, match="does not answer"):
        push(runs)
    assert time.monotonic() - begun < 5


def test_a_push_that_fails_is_told(
    runs: Path, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb_server.answers["UpsertBucket"] = {"data": None, "errors": [{"message": "no"}]}
    shutil.rmtree(files(runs)[1].parent)
    assert push(runs) == 1
    said = capsys.readouterr().out
    assert "0 arrived, failed" in said
    assert "`wandb sync` ended with 0: " in said


@pytest.mark.parametrize(
    "fault", [503, *(pytest.param(code, marks=pytest.mark.slow) for code in (500, 429))]
)
def test_a_server_that_fails_midway_ends_the_push(
    runs: Path, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    shutil.rmtree(files(runs)[1].parent)
    wandb_server.fault_at, wandb_server.fault = "/file_stream", fault
    begun = time.monotonic()
    assert push(runs, timeout=2) == 1
    assert time.monotonic() - begun < 6
    assert "0 of 1 folders whole" in capsys.readouterr().out
    wandb_server.fault = None
    assert push(runs) == 1
    # Nothing is doubled; the other folder's steps are still told to be missing.
    assert f"{STEPS + 1} rows, {STEPS + 1} arrived, pushed" in capsys.readouterr().out
    assert len(wandb_server.history(RUN.id)) == STEPS + 1


def test_the_rest_of_a_file(runs: Path, tmp_path: Path) -> None:
    source = files(runs)[0]
    for skipped in (0, 1, STEPS):
        target = tmp_path / "rest.wandb"
        write_rest(source, target, skipped)
        whole, rest = read_wandb(source), read_wandb(target)
        assert rest.rows == whole.rows - skipped
        assert rest.history[1:] == whole.history[-len(rest.history) :][1:]
        assert (rest.damaged, rest.summary, rest.status) == (0, whole.summary, "finished")
    write_rest(source, target, 0)
    assert target.read_bytes() == source.read_bytes()


def test_nothing_to_push_and_no_key(tmp_path: Path, runs: Path) -> None:
    with pytest.raises(UserError, match="no W&B runs"):
        push(tmp_path / "nowhere")
    with pytest.raises(UserError, match="needs a key"):
        push(runs)
