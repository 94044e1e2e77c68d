import json
import math
from pathlib import Path

import numpy as np
import pytest

from millsight.platform.errors import UserError
from millsight.platform.tracking import RunInfo, TrackingConfig, read_runs, track
from millsight.platform.tracking.jsonl import JsonlTracker

RUN = RunInfo("extract", "ab" * 32, {"k": 4, "layers": (6, 12)}, group="quickstart", tags=("t",))


def read(directory: Path):
    (run,) = read_runs(directory)
    return run


def test_every_line_is_strict_json_and_readable_before_the_end(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path, RUN)
    tracker.log({"loss": 0.5, "note": "warm"})
    tracker.log({"loss": math.nan, "lr": np.float32(0.25)})

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    lines = tracker.path.read_text().splitlines()
    kinds = [json.loads(line, parse_constant=refuse)["type"] for line in lines]
    assert kinds == ["run", "log", "log"]
    run = read(tmp_path)
    assert run.status == "unfinished"
    assert run.history[0] == {"step": 0, "loss": 0.5, "note": "warm"}
    assert math.isnan(run.history[1]["loss"])
    assert run.history[1]["lr"] == 0.25
    tracker.finish()


def test_a_whole_run_comes_back(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    tracker = JsonlTracker(tmp_path, RUN)
    tracker.log({"loss": 1.0}, step=10)
    tracker.log({"extra": 2}, step=10)
    tracker.log_pictures("worst misses/1", {"plate 7": picture})
    tracker.table("ranking", [{"k": 1, "auroc": math.inf}, {"k": 2}])
    tracker.summary({"auroc": 0.9})
    tracker.finish("failed")
    run = read(tmp_path)
    assert (run.id, run.name, run.group) == ("extract-abababababababab", "extract", "quickstart")
    assert run.config == {"k": 4, "layers": [6, 12]}
    assert run.history == [{"step": 10, "loss": 1.0, "extra": 2}]
    assert run.tables == {"ranking": [{"k": 1, "auroc": math.inf}, {"k": 2}]}
    assert run.pictures["worst misses/1"]["plate 7"].is_file()
    assert (run.summary, run.status, run.damaged) == ({"auroc": 0.9}, "failed", 0)


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    killed = JsonlTracker(tmp_path, RUN)
    for step in range(3):
        killed.log({"loss": float(step)})
    whole = killed.path.read_bytes()
    killed.path.write_bytes(whole[:-9])
    assert (len(read(tmp_path).history), read(tmp_path).damaged) == (2, 1)

    resumed = JsonlTracker(tmp_path, RUN)
    resumed.log({"loss": 20.0})
    resumed.finish()
    run = read(tmp_path)
    assert [row["loss"] for row in run.history] == [0.0, 1.0, 20.0]
    assert (run.status, run.damaged) == ("finished", 1)


def test_a_step_logged_again_counts_once(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        tracker = JsonlTracker(tmp_path, RUN)
        tracker.log({"loss": value}, step=0)
        tracker.finish()
    assert read(tmp_path).history == [{"step": 0, "loss": 2.0}]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "failed"), (KeyboardInterrupt, "stopped")]
)
def test_track_records_how_a_block_ended(
    tmp_path: Path, error: type[BaseException], status: str
) -> None:
    config = TrackingConfig(wandb="disabled", directory=str(tmp_path))
    with pytest.raises(error), track(config, RUN):
        raise error
    assert read(tmp_path).status == status


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such tracking directory"):
        read_runs(tmp_path / "nowhere")
