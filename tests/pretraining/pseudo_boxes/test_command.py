from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blob_maps import MakeMaps, a_map, with_blobs
from PIL import Image

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform import storage
from millsight.platform.artifacts import Artifact
from millsight.platform.catalog.catalog import load_data
from millsight.platform.errors import RefusedError, UserError
from millsight.pretraining.pseudo_boxes.commands import boxes
from millsight.pretraining.pseudo_boxes.config import BoxesConfig, BoxSettings


def read_coco(artifact: Artifact) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(storage.read_bytes(artifact.file("boxes.json")))
    return document


def test_the_command_names_its_directory_by_fingerprint_and_does_not_work_twice(
    make_maps: MakeMaps,
    plates: list[AnomalyMap],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    maps = make_maps(plates)
    config = BoxesConfig(maps=maps.path, workspace=str(tmp_path / "runs"))
    first = boxes(config)
    assert first.exit_code == 0
    assert first.artifact is not None
    assert Path(first.artifact.path).name == f"pseudo_boxes-{first.artifact.fingerprint[:12]}"
    assert first.artifact.manifest["inputs"]["maps"]["fingerprint"] == maps.fingerprint
    shown = capsys.readouterr().out
    assert "plate" in shown
    assert f"{first.artifact.path}/boxes.json" in shown
    again = boxes(config)
    assert again.artifact is not None
    assert again.artifact.fingerprint == first.artifact.fingerprint
    assert "done already" in capsys.readouterr().out


def test_other_settings_are_another_artifact_and_never_share_a_directory(
    make_maps: MakeMaps, plates: list[AnomalyMap], tmp_path: Path
) -> None:
    output = str(tmp_path / "mine")
    config = BoxesConfig(maps=make_maps(plates).path, output=output)
    first = boxes(config)
    with pytest.raises(RefusedError, match=r"config\.margin"):
        boxes(dataclasses.replace(config, margin=0.2))
    other = boxes(
        dataclasses.replace(config, margin=0.2, output=None, workspace=str(tmp_path / "runs"))
    )
    assert first.artifact is not None
    assert other.artifact is not None
    assert first.artifact.fingerprint != other.artifact.fingerprint


def test_a_threshold_below_the_whole_map_is_pointed_out(
    make_maps: MakeMaps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Maps that span 0.05 to 0.09, as a memory bank alone gives them, lie within the margin."""
    grids = [with_blobs((40, 60), [(5, 6, 10, 8, 0.04)]) + 0.05 for _ in range(3)]
    maps = make_maps([a_map(str(i), grid, 0.1) for i, grid in enumerate(grids)])
    config = BoxesConfig(maps=maps.path, workspace=str(tmp_path / "runs"))
    boxes(dataclasses.replace(config, margin=0.1))
    assert "try a smaller --margin" in " ".join(capsys.readouterr().out.split())
    boxes(config)
    assert "--margin" not in capsys.readouterr().out


def test_the_table_with_masks_is_whole_in_80_columns(
    make_maps: MakeMaps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dent = with_blobs((40, 60), [(5, 6, 20, 16, 1.0)])
    for name, pixels in {
        "test/dent/0.png": 90 + 60 * dent,
        "test/good/0.png": np.full((40, 60), 90.0),
        "ground_truth/dent/0_mask.png": 255 * dent,
    }.items():
        path = tmp_path / "hot_rolled_coil" / name
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    samples = load_data(tmp_path / "hot_rolled_coil").samples
    grids = {sample.id: dent if sample.defective else 0.1 * dent for sample in samples}
    maps = make_maps([a_map(name, grid, 1.0, "hot_rolled_coil") for name, grid in grids.items()])
    data, runs = str(tmp_path / "hot_rolled_coil"), str(tmp_path / "runs")
    boxes(BoxesConfig(maps=maps.path, data=data, workspace=runs))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert "pictures" in shown
    assert "at T_c" in shown


def test_settings_are_resolved_and_checked_at_once() -> None:
    assert BoxesConfig("maps").build() == BoxSettings("paper", 0.1, None, 10, 0.5)
    assert BoxesConfig("maps", compat="official").build().nms_iou == 0.8
    with pytest.raises(UserError, match=r"(?s)--tau.*--max_boxes.*--nms_iou"):
        BoxesConfig("maps", compat="official", tau=0.5, max_boxes=0, nms_iou=1.5).build()


def test_a_directory_that_is_no_maps_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a finished artifact"):
        boxes(BoxesConfig(maps=str(tmp_path)))


def test_importing_the_command_loads_nothing_heavy() -> None:
    code = (
        "import sys; import millsight.pretraining.pseudo_boxes.commands; "
        "sys.exit(','.join({'torch', 'cv2', 'ray', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.stderr.strip(), done.stderr
