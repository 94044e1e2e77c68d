"""``millsight pretrain backbone`` from pictures to files, on tiny ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from millsight.generators.procedural.commands import GenerateConfig, generate
from millsight.platform import cli
from millsight.platform.artifacts import open_artifact
from millsight.platform.tracking import read_runs
from millsight.platform.weights import load_weights

SMALL = [
    *("--training.backbone", "random:timm:resnet10t?seed=0", "--training.image_size", "64"),
    *("--training.batch_size", "8", "--training.epochs", "3", "--threads", "1"),
    *("--accelerator", "cpu", "--tracking.wandb", "disabled"),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("rendered") / "pictures"
    generate(GenerateConfig(count=36, size=64, seed=3, output=str(output)))
    return output


@pytest.fixture(scope="module")
def maps(pictures: Path) -> Path:
    output = pictures.parent / "maps"
    words = ["--data", str(pictures), "--kead.encoder", "embedded:micro-clip", "--kead.k", "0"]
    assert (
        cli.main(["extract", *words, "--output", str(output), "--tracking.wandb", "disabled"]) == 0
    )
    return output


def pretrain(maps: Path, output: Path, *words: str) -> int:
    where = ["--output", str(output), "--tracking.directory", str(output.parent / "tracking")]
    return cli.main(["pretrain", "backbone", "--maps", str(maps), *SMALL, *where, *words])


def test_from_maps_to_files_with_attention_and_lineage(
    maps: Path, pictures: Path, tmp_path: Path
) -> None:
    output = tmp_path / "backbone"
    assert pretrain(maps, output, "--masks", str(pictures)) == 0
    artifact = open_artifact(output, kind="backbone")
    metrics = artifact.manifest["metrics"]
    assert metrics["pictures"] == 36
    assert metrics["categories"] == 3
    assert metrics["defect_energy_before_stage_1"] != metrics["defect_energy_after_stage_1"]
    for name in ("maps.jpg", "attention.jpg", "map_quality.json", "backbone/README.md"):
        assert (output / name).stat().st_size > 0
    started, ended = (
        load_weights("random:timm:resnet10t?seed=0"),
        load_weights(f"path:{output}/backbone"),
    )
    changed = {
        name.partition(".")[0]
        for name, value in ended.state_dict.items()
        if not torch.equal(value, started.state_dict[name])
    }
    assert changed == {"layer3", "layer4"}
    (run,) = read_runs(tmp_path / "tracking")
    first = run.history[0]
    weighted = first["train/distill_weight"] * first["train/distill"]
    assert weighted == pytest.approx(first["train/task"], rel=1e-4)
    assert open_artifact(maps).fingerprint[:12] in (output / "backbone/README.md").read_text()


def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(
    maps: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert pretrain(maps, whole) == 0
    words = ["pretrain", "backbone", "--maps", str(maps), *SMALL, "--output", str(killed)]
    command = [sys.executable, "-m", "millsight.platform.cli", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, cwd=tmp_path)
    checkpoint = tmp_path / "killed.partial" / "checkpoint.pt"
    while not checkpoint.exists():
        assert process.poll() is None, "it ended before an epoch did"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    assert pretrain(maps, killed) == 0
    weights = [load_weights(f"path:{folder}/backbone").state_dict for folder in (whole, killed)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_flat_maps_are_refused_and_the_sheet_is_there_to_look_at(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    import pyarrow.parquet as pq

    from millsight.evaluation.anomaly_maps import from_table, to_table

    flat = tmp_path / "flat"
    flat.mkdir()
    manifest = json.loads((maps / "artifact.json").read_text())
    (flat / "artifact.json").write_text(json.dumps(manifest))
    table = pq.read_table(maps / "maps.parquet")
    items = list(from_table(table))
    for item in items:
        object.__setattr__(item, "grid", np.full_like(item.grid, 0.25))
    pq.write_table(to_table(items), flat / "maps.parquet")
    assert pretrain(flat, tmp_path / "none") == 2
    said = capsys.readouterr().err
    assert "--gate false" in said
    assert "flat 1" in said
    assert (tmp_path / "none.partial" / "maps.jpg").stat().st_size > 0
    assert not (tmp_path / "none").exists()
