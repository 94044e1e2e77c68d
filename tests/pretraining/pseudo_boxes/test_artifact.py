from __future__ import annotations

import dataclasses
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from blob_maps import MakeMaps

from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform import storage
from millsight.platform.artifacts import Artifact
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Input
from millsight.pretraining.pseudo_boxes.config import BoxSettings
from millsight.pretraining.pseudo_boxes.produce import TrueMasks, produce_boxes, read_report

PAPER = BoxSettings()
OFFICIAL = BoxSettings(compat="official", nms_iou=0.8)


def read_coco(artifact: Artifact) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(storage.read_bytes(artifact.file("boxes.json")))
    return document


def test_coco_ids_start_at_one_and_every_box_is_traced_to_its_map(
    make_maps: MakeMaps, plates: list[AnomalyMap], tmp_path: Path
) -> None:
    maps = make_maps(plates)
    coco = read_coco(produce_boxes(maps, PAPER, str(tmp_path / "out")))
    assert [image["id"] for image in coco["images"]] == [1, 2, 3, 4]
    assert [annotation["id"] for annotation in coco["annotations"]] == [1, 2, 3]
    assert [category["id"] for category in coco["categories"]] == [1]
    assert [a["image_id"] for a in coco["annotations"]] == [1, 1, 2]
    assert [a["bbox"] for a in coco["annotations"]] == [
        [40, 20, 12, 9],
        [5, 6, 10, 8],
        [20, 10, 5, 5],
    ]
    assert [a["score"] for a in coco["annotations"]] == [0.875, 0.75, 0.75]
    assert [a["area"] for a in coco["annotations"]] == [108, 80, 25]
    for annotation in coco["annotations"]:
        assert annotation["map_fingerprint"] == maps.fingerprint
        assert annotation["category"] == "plate"
        assert annotation["category_id"] == 1
        assert annotation["iscrowd"] == 0
    first = coco["images"][0]
    assert (first["sample_id"], first["file_name"]) == ("hot", "pictures/hot.png")
    assert (first["width"], first["height"]) == (60, 40)


def test_the_gate_leaves_pictures_in_as_negatives(
    make_maps: MakeMaps, plates: list[AnomalyMap], tmp_path: Path
) -> None:
    """T_c = (0.875 + 0.75 + 0.625 * 2) / 4 - 0.1 = 0.61875: the good pictures' 0.625 is above."""
    maps = make_maps(plates)
    gated = read_coco(produce_boxes(maps, PAPER, str(tmp_path / "gated")))
    assert [image["normal"] for image in gated["images"]] == [False, False, True, True]
    assert {a["image_id"] for a in gated["annotations"]} == {1, 2}
    for chosen in (OFFICIAL, dataclasses.replace(PAPER, tau=0.0)):
        path = str(tmp_path / chosen.compat)
        free = read_coco(produce_boxes(maps, chosen, path))
        assert {a["image_id"] for a in free["annotations"]} == {1, 2, 3, 4}
        assert not any(image["normal"] for image in free["images"])


def test_the_report_counts(make_maps: MakeMaps, plates: list[AnomalyMap], tmp_path: Path) -> None:
    artifact = produce_boxes(make_maps(plates), PAPER, str(tmp_path / "out"))
    report: Any = read_report(artifact)
    plate = report["categories"]["plate"]
    assert (report["pictures"], report["boxes"]) == (4, 3)
    assert plate["map_threshold"] == pytest.approx(0.61875)
    assert plate["tau"] == pytest.approx((0.25 + 0.8) / 2)
    assert plate["normal_share"] == 0.5
    assert plate["boxes_per_picture"] == 0.75
    assert plate["boxes_histogram"] == [2, 1, 1] + [0] * 8
    # Shares of 2400 pixels: 108 and 80 lie in [.03, .1), 25 in [.01, .03).
    assert plate["area_histogram"] == [0, 0, 0, 1, 2, 0, 0]
    assert report["mask_iou"]["pictures"] == 0
    assert plate["mask_iou"]["category_mean"] is None
    assert artifact.manifest["metrics"] == {"pictures": 4, "boxes": 3}


def test_masks_are_compared_where_they_are_not_empty(
    make_maps: MakeMaps, plates: list[AnomalyMap], tmp_path: Path
) -> None:
    """The mask takes the left blob (80 pixels) of two (188 in all), so IoU = 80 / 188."""
    mask = np.zeros((40, 60), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "empty.png"), mask)
    mask[6:14, 5:15] = 255
    cv2.imwrite(str(tmp_path / "hot.png"), mask)
    uris = {"hot": str(tmp_path / "hot.png"), "good-1": str(tmp_path / "empty.png")}
    masks = TrueMasks(uris, Input("f" * 64, "data"))
    maps = make_maps(plates)
    report: Any = read_report(produce_boxes(maps, PAPER, str(tmp_path / "out"), masks))
    iou = report["categories"]["plate"]["mask_iou"]
    assert iou["pictures"] == 1
    assert iou["category_mean"] == iou["category_pooled"] == pytest.approx(80 / 188)
    assert iou["fixed_mean"] == pytest.approx(80 / 188)
    strangers = TrueMasks({"nobody": uris["hot"]}, Input("e" * 64, "elsewhere"))
    with pytest.raises(UserError, match=r"--data elsewhere .* no mask"):
        produce_boxes(maps, PAPER, str(tmp_path / "none"), strangers)
    cv2.imwrite(uris["hot"], mask[:20])
    with pytest.raises(UserError, match=r"hot\.png.*60x20"):
        produce_boxes(maps, PAPER, str(tmp_path / "bad"), masks)


def test_equal_maps_give_equal_bytes(
    make_maps: MakeMaps, plates: list[AnomalyMap], tmp_path: Path
) -> None:
    maps = make_maps(plates)
    first, second = (produce_boxes(maps, PAPER, str(tmp_path / name)) for name in "ab")
    for name in ("boxes.json", "report.json"):
        assert storage.read_bytes(first.file(name)) == storage.read_bytes(second.file(name))


def test_pycocotools_or_its_faster_sibling_reads_the_file(
    make_maps: MakeMaps, plates: list[AnomalyMap], tmp_path: Path
) -> None:
    installed = [name for name in ("pycocotools", "faster_coco_eval") if find_spec(name)]
    if not installed:
        pytest.skip("neither pycocotools nor faster_coco_eval is installed")
    module = {"pycocotools": "pycocotools.coco", "faster_coco_eval": "faster_coco_eval"}
    coco_class = import_module(module[installed[0]]).COCO
    artifact = produce_boxes(make_maps(plates), PAPER, str(tmp_path / "out"))
    coco = coco_class(artifact.file("boxes.json"))
    assert sorted(coco.getImgIds()) == [1, 2, 3, 4]
    assert len(coco.loadAnns(coco.getAnnIds(imgIds=[1]))) == 2
