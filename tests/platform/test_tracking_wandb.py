import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from wandb_server import WandbServer

from millsight.platform.errors import UserError
from millsight.platform.tracking import (
    RunInfo,
    RunRecord,
    Tracker,
    TrackingConfig,
    read_runs,
    track,
    wandb_tracker,
)
from millsight.platform.tracking.wandb_file import BLOCK_BYTES, read_wandb

RUN = RunInfo("extract", "cd" * 32, {"k": 4, "nested": {"a": 1}}, group="quickstart")


pytestmark = pytest.mark.usefixtures("no_wandb_account")


def written(directory: Path) -> RunRecord:
    """The run in W&B's file; its service writes the last records a moment after `finish`."""
    deadline = time.monotonic() + 10
    while True:
        # No run at all, as long as the file holds its header only.
        runs = [run for run in read_runs(directory) if run.source == "wandb"]
        ended = [run for run in runs if run.status != "unfinished"]
        if ended or time.monotonic() > deadline:
            (run,) = runs
            return run
        time.sleep(0.1)


def config(directory: Path) -> TrackingConfig:
    return TrackingConfig(directory=str(directory))


def test_offline_without_a_key_and_read_back(tmp_path: Path) -> None:
    assert config(tmp_path).wandb_mode() == "offline"
    with track(config(tmp_path), RUN) as tracker:
        for step in range(300):
            tracker.log({"loss": 1 / (step + 1), "padding": "x" * 300})
        tracker.log_pictures("maps", {"plate": np.zeros((8, 8, 3), np.uint8)})
        tracker.table("ranking", [{"k": 1, "auroc": 0.5}, {"k": "two"}])
        tracker.summary({"auroc": 0.9})
    run = written(tmp_path)
    assert run.path.stat().st_size > 2 * BLOCK_BYTES
    assert (run.id, run.name, run.group) == (RUN.id, "extract", "quickstart")
    assert (run.fingerprint, run.config) == (RUN.fingerprint, {"k": 4, "nested": {"a": 1}})
    assert [row["loss"] for row in run.history[:300]] == [1 / (s + 1) for s in range(300)]
    assert (run.summary["auroc"], run.status) == (0.9, "finished")
    assert list((tmp_path / "wandb-data").rglob("*"))

    torn = tmp_path / "torn" / "run-torn.wandb"
    torn.parent.mkdir()
    torn.write_bytes(run.path.read_bytes()[: BLOCK_BYTES + 5000])
    part = read_wandb(torn)
    assert 0 < len(part.history) < 300
    assert (part.status, part.history) == ("unfinished", run.history[: len(part.history)])
    flipped = bytearray(run.path.read_bytes())
    flipped[BLOCK_BYTES + 4000] ^= 0xFF
    torn.write_bytes(flipped)
    assert read_wandb(torn).damaged == 1


def test_the_mode_follows_key_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(UserWarning, match="needs a key"):
        assert TrackingConfig(wandb="online").wandb_mode() == "offline"
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine api.wandb.ai login user password {'a' * 40}\n")
    netrc.chmod(0o600)
    assert TrackingConfig().wandb_mode() == "online"
    monkeypatch.setenv("MILLSIGHT_OFFLINE", "1")
    assert TrackingConfig().wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert TrackingConfig().wandb_mode() == "disabled"


def test_online_arrives_and_a_rerun_goes_on(tmp_path: Path, wandb_server: WandbServer) -> None:
    assert config(tmp_path).wandb_mode() == "online"
    for loss in (1.0, 2.0):
        with track(config(tmp_path), RUN) as tracker:
            tracker.log({"loss": loss})
            tracker.summary({"auroc": loss / 10})
    (run_id,) = wandb_server.runs
    run = wandb_server.runs[run_id]
    assert (run_id, run["project"], run["group"]) == (RUN.id, "millsight", "quickstart")
    assert run["config"]["k"]["value"] == 4
    assert [(row["step"], row["loss"]) for row in wandb_server.history(run_id)] == [
        (0, 1.0),
        (1, 2.0),
    ]
    assert (wandb_server.summary(run_id)["auroc"], run["exit"]) == (0.2, 0)


@pytest.mark.parametrize(("when", "trouble"), [("start", "gone"), ("middle", "error")])
def test_a_broken_server_costs_a_bounded_time_and_no_number(
    tmp_path: Path,
    wandb_server: WandbServer,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    trouble: str,
) -> None:
    for name, seconds in (("INIT", 3.0), ("REQUEST", 1.0), ("FINISH", 8.0)):
        monkeypatch.setattr(wandb_tracker, f"{name}_SECONDS", seconds)

    def break_it() -> None:
        if trouble == "gone":
            wandb_server.vanish()
        else:
            wandb_server.fault = trouble

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if when == "start":
            break_it()
        tracker = config(tmp_path).open(RUN)
        if when == "middle":
            while RUN.id not in wandb_server.runs:
                time.sleep(0.02)
            break_it()
        begun = time.monotonic()
        for step in range(200):
            tracker.log({"loss": float(step)})
        assert time.monotonic() - begun < 1
        begun = time.monotonic()
        tracker.finish()
        assert time.monotonic() - begun < wandb_tracker.FINISH_SECONDS
    assert len([w for w in caught if "W&B" in str(w.message)]) == (when == "start")
    truth = next(run for run in read_runs(tmp_path) if run.source == "jsonl")
    assert [row["loss"] for row in truth.history] == [float(step) for step in range(200)]
    # What did not arrive lies in W&B's own file, for `wandb sync`.
    assert written(tmp_path).history == truth.history
    wandb_server.fault = None


def log_around_a_table(tracker: Tracker) -> None:
    tracker.log({"loss": 1.0})
    tracker.table("ranking", [{"k": 1}])
    tracker.log({"loss": 2.0})


def test_a_refused_table_costs_no_number(tmp_path: Path, wandb_server: WandbServer) -> None:
    # W&B keeps tables in artifacts.
    wandb_server.answers["ArtifactType"] = {"data": {}}
    with (
        pytest.warns(UserWarning, match="refused a call"),
        track(config(tmp_path), RUN) as tracker,
    ):
        log_around_a_table(tracker)
    assert [row["loss"] for row in wandb_server.history(RUN.id) if "loss" in row] == [1.0, 2.0]
    assert wandb_server.runs[RUN.id]["exit"] == 0


def test_an_unopened_run_and_a_foreign_file(tmp_path: Path) -> None:
    empty = tmp_path / "run-x.wandb"
    empty.write_bytes(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    assert read_runs(tmp_path) == []
    empty.write_bytes(b"something else")
    with pytest.raises(UserError, match="not a W&B run file"):
        read_runs(tmp_path)


def test_importing_tracking_is_light() -> None:
    script = (
        "import sys, millsight.platform.tracking\n"
        "print(sorted({'wandb', 'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
