from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from millsight.evaluation import anomaly_maps
from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.evaluation.runs import map_sources
from millsight.evaluation.runs.commands import EvaluateConfig, evaluate
from millsight.evaluation.runs.printed import map_rows
from millsight.evaluation.runs.written import read_metrics
from millsight.platform import storage
from millsight.platform.artifacts import drafting
from millsight.platform.catalog.catalog import load_data
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import TrackingConfig

SIZE = 64


@pytest.fixture
def pictures(tmp_path):
    """Four good pictures and four with a bright square, in the MVTec layout."""
    rng = np.random.default_rng(0)
    root = tmp_path / "sheet"
    for folder in ("test/good", "test/dent", "ground_truth/dent"):
        (root / folder).mkdir(parents=True)
    for number in range(4):
        for label in ("good", "dent"):
            picture = rng.integers(80, 120, (SIZE, SIZE), dtype=np.uint8)
            if label == "dent":
                mask = np.zeros((SIZE, SIZE), np.uint8)
                mask[16:32, 16:32] = 255
                picture[mask > 0] = 250
                cv2.imwrite(str(root / f"ground_truth/dent/{number}_mask.png"), mask)
            cv2.imwrite(str(root / f"test/{label}/{number}.png"), picture)
    return root


def make_maps(folder, samples, *, perfect: bool = True, config: str = "a"):
    """Maps that mark exactly the square, or the opposite."""
    maps = []
    for sample in samples:
        grid = np.zeros((8, 8), np.float16)
        if sample.defective == perfect:
            grid[2:4, 2:4] = 1
        maps.append(
            AnomalyMap(sample.id, sample.uri, "sheet", float(grid.max()), None, SIZE, SIZE, grid)
        )
    data = load_data(folder / "sheet") if samples else None
    kead = {"kead": {"encoder": "none", "name": config}, "categories": {}}
    inputs = {"data": data.as_input()} if data else {}
    recipe = Recipe("maps", 1, kead, inputs, {"encoder": "0" * 64})
    with drafting(folder / f"maps-{config}", recipe) as draft:
        storage.write_table(draft.file(anomaly_maps.FILE), anomaly_maps.to_table(maps))
        storage.write_bytes(draft.file("quarantine.json"), b"[]")
        return draft.commit({"pictures": len(maps), "quarantined": 0})


def settings(folder, maps, **extra):
    tracking = TrackingConfig("disabled", directory=str(folder / "tracking"))
    return EvaluateConfig(
        workspace=str(folder / "runs"), maps=maps.path, resamples=50, tracking=tracking, **extra
    )


def test_perfect_maps_get_perfect_numbers_and_opposite_ones_the_worst(tmp_path, pictures, capsys):
    samples = load_data(pictures).samples
    outcome = evaluate(settings(tmp_path, make_maps(tmp_path, samples)))
    metrics = outcome.artifact.manifest["metrics"]
    assert metrics["image_auroc"] == 1.0
    assert metrics["pixel_auroc"] > 0.99
    assert metrics["aupro"] > 0.9
    wrong = make_maps(tmp_path, samples, perfect=False, config="b")
    metrics = evaluate(settings(tmp_path, wrong)).artifact.manifest["metrics"]
    assert metrics["image_auroc"] == 0.0
    assert metrics["pixel_auroc"] < 0.5
    assert outcome.artifact.file("report.html") in capsys.readouterr().out.replace("\n", "")


def test_the_report_and_metrics_lie_in_the_artifact_and_a_rerun_is_free(tmp_path, pictures):
    maps = make_maps(tmp_path, load_data(pictures).samples)
    outcome = evaluate(settings(tmp_path, maps))
    assert set(outcome.artifact.manifest["inputs"]) == {"maps", "data"}
    (row,) = map_rows(read_metrics(outcome.artifact))
    assert (row["category"], row["n_pictures"], row["n_defective"]) == ("sheet", 8, 4)
    page = open(outcome.artifact.file("report.html")).read()  # noqa: PTH123, SIM115
    assert maps.fingerprint[:12] in page
    assert "Image AUROC" in page
    assert evaluate(settings(tmp_path, maps)).artifact == outcome.artifact


def test_boxes_are_joined_by_sample_and_turned_to_corners(tmp_path, pictures):
    samples = load_data(pictures).samples
    coco = {
        "images": [{"id": 5, "sample_id": samples[0].id}],
        "annotations": [{"image_id": 5, "bbox": [16, 17, 10, 20]}],
    }
    with drafting(tmp_path / "boxes", Recipe("pseudo_boxes", 1, {})) as draft:
        storage.write_bytes(draft.file("boxes.json"), json.dumps(coco).encode())
        boxes = draft.commit()
    assert map_sources.boxes_by_picture(boxes) == {samples[0].id: [(16, 17, 26, 37)]}
    maps = make_maps(tmp_path, samples)
    outcome = evaluate(settings(tmp_path, maps, boxes=boxes.path))
    assert "boxes" in outcome.artifact.manifest["inputs"]


def test_pictures_without_labels_get_a_report_without_numbers(tmp_path, pictures, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted(pictures.glob("test/*/*.png"))):
        (flat / f"{number}.png").write_bytes(file.read_bytes())
    maps = make_maps(tmp_path, load_data(pictures).samples)
    outcome = evaluate(settings(tmp_path, maps, data=str(flat)))
    assert outcome.artifact.manifest["metrics"] == {}
    (row,) = map_rows(read_metrics(outcome.artifact))
    assert row["image_auroc"]["value"] is None
    assert "No numbers: they take labelled pictures" in capsys.readouterr().out


def test_equal_files_in_two_folders_keep_their_own_labels(tmp_path, pictures):
    copied = pictures / "test" / "good" / "copy.png"
    copied.write_bytes((pictures / "test" / "dent" / "0.png").read_bytes())
    maps = make_maps(tmp_path, load_data(pictures).samples)
    sources = map_sources.open_maps(maps.path, str(pictures), "auto", None)
    labels = [sample.label for item, sample in sources.pairs]
    assert labels.count("good") == 5
    assert all(item.uri == sample.uri for item, sample in sources.pairs)


def test_mistakes_are_named(tmp_path, pictures):
    samples = load_data(pictures).samples
    maps = make_maps(tmp_path, samples)
    (pictures / "test" / "good" / "0.png").unlink()
    with pytest.raises(UserError, match=r"1 pictures that have maps are not in it"):
        evaluate(settings(tmp_path, maps))
    empty = make_maps(tmp_path, [], config="c")
    with pytest.raises(UserError, match="holds no map"):
        evaluate(settings(tmp_path, empty, data=str(pictures)))
    with drafting(tmp_path / "x", Recipe("other", 1, {})) as draft:
        other = draft.commit()
    with pytest.raises(UserError, match="this command needs 'maps'"):
        evaluate(settings(tmp_path, other))
