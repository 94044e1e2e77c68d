"""Boxes from which nothing can be learnt are refused before a detector is built."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bright_boxes import pseudo_boxes

from millsight.evaluation.anomaly_maps import KIND, AnomalyMap, to_table
from millsight.platform import cli, storage
from millsight.platform.artifacts import Artifact, Draft, drafting
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import MultiTracker
from millsight.pretraining.detector.box_quality import check_boxes
from millsight.pretraining.pseudo_boxes.commands import BoxesConfig, boxes


def write_maps(folder: Path, *, flat: bool) -> Artifact:
    """Maps of a category with one hot place in each, or with none."""
    random = np.random.default_rng(0)
    items = []
    for number in range(12):
        grid = random.uniform(0, 0.1, (12, 12)).astype(np.float16)
        y, x = random.integers(1, 9, 2)
        grid[y : y + 2, x : x + 2] += np.float16(0.8)
        grid = np.full_like(grid, 0.5) if flat else grid
        score = 0.1 if number % 4 == 3 else 0.9
        items.append(AnomalyMap(str(number), "gone.png", "steel", score, 0.5, 120, 120, grid))
    recipe = Recipe(KIND, 1, {}, {})
    with drafting(folder / "maps", recipe) as made:
        storage.write_table(made.file("maps.parquet"), to_table(items))
        return made.commit({"pictures": len(items)})


def make_boxes(maps: Artifact, margin: float) -> Artifact:
    output = f"{maps.path}-boxes"
    made = boxes(BoxesConfig(maps.path, margin=margin, output=output)).artifact
    assert made is not None
    return made


def draft(folder: Path) -> Draft:
    return Draft(str(folder), str(folder), Recipe("detector", 1, {}, {}))


def test_good_boxes_pass_and_their_maps_are_there_to_look_at(tmp_path: Path) -> None:
    made = make_boxes(write_maps(tmp_path, flat=False), 0.1)
    check_boxes([made], draft(tmp_path), MultiTracker([]), refuse=True)
    (steel,) = json.loads((tmp_path / "map_quality.json").read_text())
    assert steel["pictures"] == 12
    assert (tmp_path / "maps.jpg").stat().st_size > 0


def test_boxes_as_large_as_their_pictures_are_refused(tmp_path: Path) -> None:
    made = make_boxes(write_maps(tmp_path, flat=False), 0.9)
    said = r"(?s)--boxes .*maps-boxes: nothing.*100% of the boxes.*smaller --margin.*--gate false"
    with pytest.raises(UserError, match=said):
        check_boxes([made], draft(tmp_path), MultiTracker([]), refuse=True)
    check_boxes([made], draft(tmp_path), MultiTracker([]), refuse=False)


def test_faulty_maps_are_refused_through_their_boxes(tmp_path: Path) -> None:
    made = make_boxes(write_maps(tmp_path, flat=True), 0.1)
    with pytest.raises(UserError, match=r"steel: flat 1"):
        check_boxes([made], draft(tmp_path), MultiTracker([]), refuse=True)


def test_boxes_whose_maps_are_gone_are_judged_alone(tmp_path: Path) -> None:
    check_boxes([pseudo_boxes(tmp_path)], draft(tmp_path), MultiTracker([]), refuse=True)
    assert json.loads((tmp_path / "map_quality.json").read_text()) == []
    assert not (tmp_path / "maps.jpg").exists()


def test_the_command_refuses_and_leaves_no_artifact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = pseudo_boxes(tmp_path)
    report = Path(artifact.file("report.json"))
    report.write_text(report.read_text().replace("3, 0]", "0, 3]"))
    words = ["--boxes", artifact.path, "--training.image_size", "64", "--training.batch_size", "2"]
    where = ["--output", str(tmp_path / "out"), "--tracking.directory", str(tmp_path / "t")]
    command = ["pretrain", "detector", *words, *where, "--tracking.wandb", "disabled"]
    assert cli.main(command) == 2
    assert "plate: 100% of the boxes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main([*command, "--training.pretrained", "false"]) == 2
    assert "--freeze_backbone would freeze random numbers" in capsys.readouterr().err
    report.unlink()
    assert cli.main(command) == 2
    assert "report.json cannot be read" in capsys.readouterr().err
