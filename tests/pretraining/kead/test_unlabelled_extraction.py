"""``millsight extract`` on a folder without a good picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from millsight.evaluation.anomaly_maps import read_maps
from millsight.platform import cli
from millsight.platform.artifacts import open_artifact
from millsight.platform.catalog.catalog import load_data

ODD = "09.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten noisy plates, one with a patch, and a broken file."""
    root = tmp_path / "plates"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        plate = rng.normal(120, 8, (64, 64, 3))
        if f"{number:02}.png" == ODD:
            plate[16:48, 16:48] += 100
        Image.fromarray(plate.clip(0, 255).astype(np.uint8)).save(root / f"{number:02}.png")
    broken = (root / "00.png").read_bytes()[:300]
    (root / "broken.png").write_bytes(broken)
    return root


def run(folder: Path, *flags: str) -> int:
    words = ["extract", "--data", str(folder), "--kead.image_size", "64", "--kead.k", "0"]
    place = ["--workspace", str(folder.parent / "runs")]
    quiet = ["--tracking.wandb", "disabled", "--tracking.directory", str(folder.parent / "log")]
    return cli.main([*words, *place, *quiet, *flags])


def manifests(folder: Path) -> list[dict[str, object]]:
    found = sorted((folder.parent / "runs").glob("maps-*/artifact.json"))
    return [json.loads(path.read_text())["config"]["categories"]["plates"] for path in found]


def test_pictures_are_compared_with_each_other(folder: Path) -> None:
    run(folder, "--kead.unlabelled", "50")
    path = next((folder.parent / "runs").glob("maps-*"))
    scores = {Path(item.uri).name: item.score for item in read_maps(open_artifact(str(path)))}
    assert len(scores) == 10
    assert max(scores, key=scores.__getitem__) == ODD
    ids = {Path(sample.uri).name: sample.id for sample in load_data(str(folder)).samples}
    ids.pop("broken.png", None)
    known = manifests(folder)[0]["unlabelled"]
    assert sorted(content for content, _ in known) == sorted(ids.values())  # type: ignore[attr-defined]


def test_another_number_another_folder_another_fingerprint(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "others"
    other.mkdir()
    for number in range(4):
        (other / f"{number}.png").write_bytes((folder / f"0{number}.png").read_bytes())
    run(folder, "--kead.unlabelled", "5")
    run(folder, "--kead.unlabelled", "6")
    run(folder, "--kead.unlabelled", "5", "--unlabelled", str(other))
    counts = [len(item["unlabelled"]) for item in manifests(folder)]  # type: ignore[arg-type]
    assert sorted(counts) == [4, 5, 6]


def test_a_folder_without_a_number_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "--unlabelled", str(folder)) == 2
    assert "--kead.unlabelled N" in capsys.readouterr().err
    assert run(folder) == 2
    assert "unlabelled: 50" in capsys.readouterr().err
