"""Curves of tracked runs: which runs, which numbers, and where the lines lie."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from millsight.platform.cli import main
from millsight.platform.errors import UserError
from millsight.platform.tracking import RunInfo, TrackingConfig, track
from millsight.platform.tracking.curves import choose, draw

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def directory(tmp_path):
    for name, slope in (("slow", 0.5), ("fast", 1.0)):
        settings = TrackingConfig(directory=str(tmp_path), wandb="disabled")
        with track(settings, RunInfo("backbone", f"{name}-fingerprint", {})) as tracker:
            for step in range(40):
                values = {"train/loss": 40 - slope * step, "constant": 2.0}
                if name == "fast" and step:
                    values["train/distill"] = 1 / step
                tracker.log(values, step=step)
    return tmp_path


def lines(svg):
    """Points of the smoothed lines, panel by panel."""
    root = ET.fromstring(svg)  # noqa: S314 - drawn here
    panels = [g for g in root if g.get("transform")]
    return {
        panel.find(f"{NAMESPACE}text").text: [
            [tuple(map(float, point.split(","))) for point in line.get("points").split()]
            for line in panel.iter(f"{NAMESPACE}polyline")
            if line.get("stroke-width")
        ]
        for panel in panels
    }


def test_a_panel_for_what_the_runs_share_and_a_line_for_each(directory):
    drawn = lines(draw(choose(directory, ["slow=slow", "quick=fast-f"])))
    assert list(drawn) == ["train/loss"]
    slow, fast = drawn["train/loss"]
    assert slow[0] == fast[0]
    assert fast[-1][1] > slow[-1][1], "the lower value lies further down"
    assert [x for x, _ in fast] == sorted(x for x, _ in fast)


def test_what_one_run_logged_alone_is_drawn_when_asked_for(directory):
    runs = choose(directory, ["slow", "fast"])
    assert [len(found) for found in lines(draw(runs, ["train/distill"])).values()] == [1]
    with pytest.raises(UserError, match="--metrics nothing: these runs logged train/loss"):
        draw(runs, ["nothing"])


def test_the_command_writes_a_file_and_names_the_runs_it_knows(directory, tmp_path, capsys):
    output = tmp_path / "curves.svg"
    words = ["track", "curves", "--directory", str(directory), "--output", str(output)]
    assert main([*words, "--runs", "a & b=slow", "--runs", "fast"]) == 0
    assert "a &amp; b" in output.read_text()
    assert main([*words, "--runs", "other"]) == 2
    assert "--runs other: no run with a history of that name; there are backbone-fast" in (
        capsys.readouterr().err
    )
