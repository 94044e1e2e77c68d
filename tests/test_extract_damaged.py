"""A folder of good and damaged pictures through ``millsight extract``, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from damaged_pictures import BODY_DAMAGE, HEADER_DAMAGE, encode, steel

from millsight.evaluation.anomaly_maps import read_maps
from millsight.platform import cli
from millsight.platform.artifacts import open_artifact
from millsight.platform.runs import EXIT_QUARANTINED, read_quarantine

GOOD, DAMAGED = 24, 20
DAMAGE = {**HEADER_DAMAGE, **BODY_DAMAGE}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 good pictures, and 20 damaged ones of 16 kinds."""
    root = tmp_path / "my pictures"
    root.mkdir()
    for number in range(GOOD):
        (root / f"good_{number:03}.png").write_bytes(encode(steel((64, 48), number), "PNG"))
    for number in range(DAMAGED):
        kind = list(DAMAGE)[number % len(DAMAGE)]
        (root / f"{number:02}_{kind}").write_bytes(DAMAGE[kind]())
    return root


def run(folder: Path, *flags: str) -> int:
    words = ["extract", "--data", str(folder), "--kead.encoder", "random:timm:resnet10t"]
    place = ["--workspace", str(folder.parent / "runs"), "--execution.shard_size", "8"]
    quiet = ["--tracking.wandb", "disabled", "--tracking.directory", str(folder.parent / "log")]
    return cli.main([*words, *place, *quiet, *flags])


def test_every_good_picture_gets_a_map_and_every_damaged_one_a_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    normals = folder.parent / "normals"
    normals.mkdir()
    for number in range(4):
        (normals / f"{number}.png").write_bytes(encode(steel((64, 48), 100 + number), "PNG"))
    assert run(folder, "--normals", str(normals)) == EXIT_QUARANTINED
    assert f"{GOOD} maps, {DAMAGED} pictures quarantined" in capsys.readouterr().out
    (path,) = (folder.parent / "runs").glob("maps-*")
    artifact = open_artifact(path, kind="maps")
    assert len(list(read_maps(artifact))) == GOOD
    quarantined = read_quarantine(artifact)
    assert sorted(Path(item.uri).name for item in quarantined) == sorted(
        item.name for item in folder.iterdir() if not item.name.startswith("good")
    )
    assert all(item.reason for item in quarantined)


def test_another_setting_is_another_artifact_and_no_directory_holds_two(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forced = str(folder.parent / "forced")
    assert run(folder, "--normals", str(folder), "--output", forced) == EXIT_QUARANTINED
    before = json.loads((Path(forced) / "artifact.json").read_text())
    assert run(folder, "--normals", str(folder), "--output", forced, "--kead.k", "2") == 2
    said = capsys.readouterr().err
    assert "config.kead.k" in said
    assert "--output" in said
    assert json.loads((Path(forced) / "artifact.json").read_text()) == before
    assert run(folder, "--normals", str(folder), "--kead.k", "2") == EXIT_QUARANTINED
    assert run(folder, "--normals", str(folder), "--kead.k", "3") == EXIT_QUARANTINED
    assert len(list((folder.parent / "runs").glob("maps-*"))) == 2
