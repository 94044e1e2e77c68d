"""W&B with a server: tables, curves and masks arrive; an outage costs a bounded time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outage_script import STEPS
from wandb_server import Fault, WandbServer

from millsight.platform.errors import UserError
from millsight.platform.tracking import Overlay, RunInfo, TrackingConfig, read_runs, track
from millsight.platform.tracking.commands import DashboardConfig, dashboard
from millsight.platform.tracking.values import CURVE_POINTS, TABLE_PICTURES, thinned
from millsight.platform.tracking.wandb_tracker import OUTAGE_SECONDS

pytestmark = pytest.mark.usefixtures("no_wandb_account")

RUN = RunInfo("evaluation", "ef" * 32, group="table-2")
PLATE = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
MASK = np.zeros((8, 6), bool)
MASK[2:4] = True


def log_an_evaluation(directory: Path, wandb: str = "auto") -> None:
    overlay = Overlay(PLATE, {"truth": MASK, "prediction": MASK * 2}, {1: "scratch", 2: "pit"})
    recall = np.linspace(0, 1, 3 * CURVE_POINTS)
    with track(TrackingConfig(wandb, directory=str(directory)), RUN) as tracker:  # type: ignore[arg-type]
        tracker.log({"loss": 0.5})
        tracker.table("per_class", [{"class": "scratch", "recall": 0.7}, {"class": "pit"}])
        worst = [{"id": f"p{i}", "score": i / 100, "picture": overlay} for i in range(60)]
        tracker.table("worst_misses", worst)
        tracker.curve("precision_recall", {"recall": recall, "precision": 1 - recall})
        tracker.log_pictures("misses", {"p0": overlay})
        tracker.summary({"seg_miou": 0.62, "shards_landed": 3})


def test_tables_curves_and_masks_arrive(tmp_path: Path, wandb_server: WandbServer) -> None:
    log_an_evaluation(tmp_path)
    classes = wandb_server.table(RUN.id, "per_class")
    assert classes["columns"] == ["class", "recall"]
    assert classes["data"] == [["scratch", 0.7], ["pit", None]]
    worst = wandb_server.table(RUN.id, "worst_misses")
    assert [row[0] for row in worst["data"]] == [f"p{i}" for i in range(TABLE_PICTURES)]
    assert set(worst["data"][0][2]["masks"]) == {"truth", "prediction"}
    curve = wandb_server.table(RUN.id, "precision_recall_table")
    assert len(curve["data"]) == CURVE_POINTS
    (masks,) = wandb_server.summary(RUN.id)["misses"]["all_masks"]
    sent = wandb_server.blobs[f"run/{RUN.id}/{masks['prediction']['path']}"]
    assert sent.startswith(b"\x89PNG")
    assert all(artifact["state"] == "COMMITTED" for artifact in wandb_server.artifacts.values())
    assert wandb_server.unknown == []


def test_the_jsonl_has_the_same(tmp_path: Path) -> None:
    from PIL import Image

    log_an_evaluation(tmp_path, "disabled")
    (run,) = read_runs(tmp_path)
    assert run.tables["per_class"] == [{"class": "scratch", "recall": 0.7}, {"class": "pit"}]
    assert len(run.tables["worst_misses"]) == TABLE_PICTURES
    cell = run.tables["worst_misses"][7]["picture"]
    assert (np.asarray(Image.open(cell.picture)) == PLATE).all()
    assert (np.asarray(Image.open(cell.masks["prediction"])) == MASK * 2).all()
    assert cell.classes == {1: "scratch", 2: "pit"}
    curve = run.curves["precision_recall"]
    assert list(curve) == ["recall", "precision"]
    assert (curve["recall"][0], curve["recall"][-1], len(curve["recall"])) == (0, 1, CURVE_POINTS)
    overlay = run.pictures["misses"]["p0"]
    assert isinstance(overlay, Overlay)
    lines = (json.loads(line) for line in run.path.read_text().splitlines())
    assert [line["left_out"] for line in lines if line["type"] == "table"] == [0, 10]


def test_a_curve_keeps_its_ends_and_needs_columns_of_one_length() -> None:
    assert thinned({"x": [0, 1], "y": [2, 3]}) == {"x": [0, 1], "y": [2, 3]}
    assert thinned({"x": [], "y": []}) == {"x": [], "y": []}
    for curve in ({"x": [0.0]}, {"x": [0.0], "y": [1.0, 2.0]}):
        with pytest.raises(ValueError, match="all of one length"):
            thinned(curve)


def test_the_dashboard_has_a_panel_for_all_that_was_logged(
    tmp_path: Path, wandb_server: WandbServer
) -> None:
    log_an_evaluation(tmp_path, "disabled")
    output = tmp_path / "board.json"
    config = DashboardConfig(group="table-2", directory=str(tmp_path), output=str(output))
    assert dashboard(config).exit_code == 0
    workspace, report = wandb_server.views.values()
    assert (workspace["type"], report["type"]) == ("project-view", "runs")
    bank = json.loads(workspace["spec"])["section"]["panelBankConfig"]["sections"]
    panels = {section["name"]: section["panels"] for section in bank}
    assert panels["Headline numbers"][0]["config"]["metrics"] == ["summary_metrics.seg_miou"]
    assert panels["How it ran"][0]["config"]["metrics"] == ["summary_metrics.shards_landed"]
    assert panels["Pictures"][0]["config"]["mediaKeys"] == ["misses"]
    assert panels["Step by step"][0]["config"]["metrics"] == ["loss"]
    assert len(panels["Tables"]) == 2
    assert "precision_recall_table" in json.dumps(panels["Curves"])
    (runs,) = json.loads(workspace["spec"])["section"]["runSets"]
    assert '"value": "table-2"' in json.dumps(runs["filters"])
    assert "| 0.62 |" in report["spec"]
    written = json.loads(output.read_text())
    assert written["runs"] == [RUN.id]
    assert len(written["report"]["spec"]["blocks"]) == len(json.loads(report["spec"])["blocks"])


def test_the_dashboard_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_an_evaluation(tmp_path, "disabled")
    output = tmp_path / "board.json"
    config = DashboardConfig(
        group="table-2", directory=str(tmp_path), dry_run=True, output=str(output)
    )
    assert dashboard(config).exit_code == 0
    assert "1 runs, nothing sent" in capsys.readouterr().out
    assert json.loads(output.read_text())["workspace"]["name"] == "millsight table-2"
    config.dry_run = False
    with pytest.raises(UserError, match="needs a key"):
        dashboard(config)
    monkeypatch.setenv("MILLSIGHT_OFFLINE", "1")
    with pytest.raises(UserError, match="MILLSIGHT_OFFLINE"):
        dashboard(config)
    config.group = "table-3"
    with pytest.raises(UserError, match="Groups there: table-2"):
        dashboard(config)


OUTAGES: list[tuple[str, Fault | None]] = [
    ("start", 500),
    ("start", "hang"),
    ("middle", 503),
    ("middle", 429),
    ("middle", "hang"),
    ("middle", None),
]


class Outage:
    """One process that tracks a run at a server of its own."""

    def __init__(self, directory: Path, when: str, fault: Fault | None) -> None:
        self.server, self.fault, self.directory = WandbServer(), fault, directory
        if when == "start":
            self.strike()
        script = Path(__file__).with_name("outage_script.py")
        account = {"WANDB_BASE_URL": self.server.url, "WANDB_API_KEY": "a" * 40}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script), str(directory), when],
            env={**os.environ, **account},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.begun = time.monotonic()

    def strike(self) -> None:
        if self.fault is None:
            self.server.vanish()
        self.server.fault = self.fault

    def strike_in_the_middle(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        assert self.process.stdout.readline() == "open\n"
        while not self.server.runs:
            time.sleep(0.02)
        self.strike()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.begun = time.monotonic()


def written(directory: Path) -> list[list[dict[str, Any]]]:
    """Histories in W&B's files; its service may end a moment after the process."""
    deadline = time.monotonic() + 10
    while True:
        files = read_runs(directory)[1:]
        if any(len(file.history) == STEPS for file in files) or time.monotonic() > deadline:
            return [file.history for file in files]
        time.sleep(0.1)


@pytest.fixture
def outages(tmp_path: Path) -> Iterator[list[Outage]]:
    """All of them at once: each spends its time waiting."""
    with ExitStack() as ending:
        begun = []
        for index, (when, fault) in enumerate(OUTAGES):
            begun.append(Outage(tmp_path / str(index), when, fault))
            ending.callback(begun[-1].process.kill)
            ending.callback(begun[-1].server.vanish)
        yield begun


@pytest.mark.slow
def test_no_outage_fails_or_holds_a_run_beyond_the_bound(outages: list[Outage]) -> None:
    for (when, _), outage in zip(OUTAGES, outages, strict=True):
        if when == "middle":
            outage.strike_in_the_middle()
    for index, outage in enumerate(outages):
        left = outage.begun + OUTAGE_SECONDS - time.monotonic()
        said, _ = outage.process.communicate(timeout=left)
        took = json.loads(said)
        print(OUTAGES[index], took, f"{time.monotonic() - outage.begun:.1f} s to the end")
        assert outage.process.returncode == 0
        # No call waits for W&B.
        assert took["log"] < 1
        truth = read_runs(outage.directory)[0]
        assert [row["loss"] for row in truth.history] == list(range(STEPS))
        assert truth.status == "finished"
        # What did not arrive lies in W&B's own file, for `millsight track sync`.
        assert truth.history in written(outage.directory)
