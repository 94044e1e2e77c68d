from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from millsight.evaluation import anomaly_maps
from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.errors import RefusedError, UserError
from millsight.platform.fingerprints import Input, Recipe
from millsight.pretraining.pseudo_boxes.boxes import Box, find_boxes, smallest_area
from millsight.pretraining.pseudo_boxes.commands import boxes
from millsight.pretraining.pseudo_boxes.config import BoxesConfig, BoxSettings
from millsight.pretraining.pseudo_boxes.mask_iou import MaskIouSweep
from millsight.pretraining.pseudo_boxes.produce import TrueMasks, produce_boxes, read_report
from millsight.pretraining.pseudo_boxes.thresholds import category_thresholds, otsu

PAPER = BoxSettings()
OFFICIAL = BoxSettings(compat="official", nms_iou=0.8)
Place = tuple[int, int, int, int]


def blank(height: int = 100, width: int = 120) -> np.ndarray:
    return np.zeros((height, width), dtype=np.float32)


def with_blobs(shape: tuple[int, int], blobs: Sequence[tuple[int, int, int, int, float]]) -> Any:
    anomaly_map = blank(*shape)
    for x, y, width, height, value in blobs:
        anomaly_map[y : y + height, x : x + width] = value
    return anomaly_map


def places(found: Sequence[Box]) -> list[Place]:
    return [(box.x, box.y, box.width, box.height) for box in found]


def a_map(name: str, grid: np.ndarray, score: float, category: str = "plate") -> AnomalyMap:
    height, width = grid.shape
    return AnomalyMap(
        sample_id=name,
        uri=f"pictures/{name}.png",
        category=category,
        score=score,
        class_score=None,
        width=width,
        height=height,
        grid=grid.astype(np.float16),
    )


MakeMaps = Callable[[Sequence[AnomalyMap]], Artifact]


@pytest.fixture
def make_maps(tmp_path: Path) -> MakeMaps:
    def make(items: Sequence[AnomalyMap]) -> Artifact:
        config = {"names": [item.sample_id for item in items]}
        recipe = Recipe(anomaly_maps.KIND, anomaly_maps.SCHEMA_VERSION, config)
        with drafting(tmp_path / "maps", recipe) as draft:
            storage.write_table(draft.file(anomaly_maps.FILE), anomaly_maps.to_table(items))
            return draft.commit()

    return make


@pytest.fixture
def plates() -> list[AnomalyMap]:
    """Two defective pictures, one of them with two blobs, and two good ones with a weak blob."""
    hot = with_blobs((40, 60), [(5, 6, 10, 8, 0.75), (40, 20, 12, 9, 0.875)])
    warm = with_blobs((40, 60), [(20, 10, 5, 5, 0.75)])
    weak = with_blobs((40, 60), [(30, 30, 6, 6, 0.625)])
    return [
        a_map("hot", hot, 0.9),
        a_map("warm", warm, 0.8),
        a_map("good-1", weak, 0.2),
        a_map("good-2", weak, 0.25),
    ]


def read_coco(artifact: Artifact) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(storage.read_bytes(artifact.file("boxes.json")))
    return document


# --- boxes of one map ---


def test_a_blob_gives_its_bounds_its_pixels_and_its_maximum() -> None:
    anomaly_map = with_blobs((100, 120), [(30, 40, 8, 5, 0.6)])
    anomaly_map[42, 33] = 0.75
    (box,) = find_boxes(anomaly_map, 0.5, PAPER)
    assert box == Box(30, 40, 8, 5, score=0.75, area=40.0)


def test_a_pixel_at_the_threshold_is_not_anomalous() -> None:
    assert find_boxes(with_blobs((100, 120), [(30, 40, 8, 5, 0.5)]), 0.5, PAPER) == []


@pytest.mark.parametrize(
    ("height", "width", "area"),
    [(99, 5000, 10), (100, 1000, 10), (640, 480, 24), (1080, 1920, 190)],
)
def test_smallest_area_follows_the_pictures_size(height: int, width: int, area: int) -> None:
    assert smallest_area(height, width) == area


def test_a_region_of_exactly_the_smallest_area_stays_and_one_pixel_less_goes() -> None:
    kept = with_blobs((640, 480), [(10, 10, 6, 4, 0.6)])
    assert places(find_boxes(kept, 0.5, PAPER)) == [(10, 10, 6, 4)]
    kept[10, 10] = 0.0
    assert find_boxes(kept, 0.5, PAPER) == []


def test_regions_that_touch_at_a_corner_are_one() -> None:
    anomaly_map = with_blobs((100, 120), [(10, 10, 5, 5, 0.6), (15, 15, 5, 5, 0.7)])
    assert places(find_boxes(anomaly_map, 0.5, PAPER)) == [(10, 10, 10, 10)]


@pytest.mark.parametrize("chosen", [PAPER, OFFICIAL])
def test_the_ten_best_stay_in_order_of_score(chosen: BoxSettings) -> None:
    order = np.random.default_rng(0).permutation(14)
    blobs = [(6 + 20 * i, 10 + 7 * i, 8, 6, 0.6 + 0.02 * order[i]) for i in range(14)]
    found = find_boxes(with_blobs((120, 300), blobs), 0.5, chosen)
    expected = sorted(blobs, key=lambda blob: -blob[4])[:10]
    assert places(found) == [blob[:4] for blob in expected]


def test_of_two_boxes_that_overlap_the_weaker_goes() -> None:
    """A ring's box holds that of the blob inside it; 14 x 14 in 18 x 18 overlap by 0.605."""
    anomaly_map = with_blobs((60, 60), [(10, 10, 18, 18, 0.6), (11, 11, 16, 16, 0.0)])
    anomaly_map[12:26, 12:26] = 0.9
    assert places(find_boxes(anomaly_map, 0.5, PAPER)) == [(10, 10, 18, 18)]
    loose = dataclasses.replace(PAPER, nms_iou=0.61)
    assert sorted(places(find_boxes(anomaly_map, 0.5, loose))) == [
        (10, 10, 18, 18),
        (12, 12, 14, 14),
    ]


def test_a_map_without_anomalous_pixels_gives_no_boxes() -> None:
    assert find_boxes(blank(), 0.5, PAPER) == []
    assert find_boxes(blank(), 0.5, OFFICIAL) == []


# --- the released code's quirks ---


def test_official_area_is_of_the_polygon_through_pixel_centres() -> None:
    anomaly_map = with_blobs((100, 120), [(30, 40, 8, 5, 0.6)])
    (box,) = find_boxes(anomaly_map, 0.5, OFFICIAL)
    assert places([box]) == [(30, 40, 8, 5)]
    assert box.area == 7 * 4


def test_official_drops_a_scratch_one_pixel_wide() -> None:
    scratch = with_blobs((100, 120), [(10, 50, 90, 1, 0.9)])
    assert find_boxes(scratch, 0.5, OFFICIAL) == []
    assert places(find_boxes(scratch, 0.5, PAPER)) == [(10, 50, 90, 1)]


def test_official_does_not_look_into_holes() -> None:
    anomaly_map = with_blobs(
        (100, 120), [(10, 10, 60, 60, 0.6), (11, 11, 58, 58, 0.0), (30, 30, 6, 6, 0.875)]
    )
    (box,) = find_boxes(anomaly_map, 0.5, OFFICIAL)
    assert box == Box(10, 10, 60, 60, score=0.875, area=59.0 * 59.0)
    assert len(find_boxes(anomaly_map, 0.5, PAPER)) == 2


def test_official_suppresses_boxes_that_only_share_their_x() -> None:
    """Misread, both rectangles are centred at x = 0 and as wide as their y centre is large."""
    near = with_blobs((100, 100), [(20, 45, 20, 10, 0.9), (20, 60, 20, 10, 0.8)])
    assert len(find_boxes(near, 0.5, OFFICIAL)) == 2  # y centres 50 / 65 = 0.77 < 0.8
    far = with_blobs((100, 100), [(20, 40, 20, 8, 0.9), (20, 49, 20, 8, 0.8)])
    assert places(find_boxes(far, 0.5, OFFICIAL)) == [(20, 40, 20, 8)]  # y centres 44 / 53 = 0.83
    assert len(find_boxes(far, 0.5, PAPER)) == 2


# --- thresholds ---


def test_category_threshold_is_the_mean_of_maxima_less_a_tenth() -> None:
    items = [
        a_map("a", with_blobs((4, 4), [(0, 0, 1, 1, 0.5)]), 0.1, "pipe"),
        a_map("b", with_blobs((4, 4), [(0, 0, 2, 2, 0.75)]), 0.2, "pipe"),
        a_map("c", with_blobs((4, 4), [(1, 1, 1, 1, 0.25)]), 0.3, "billet"),
    ]
    found = category_thresholds(items, PAPER)
    assert list(found) == ["billet", "pipe"]
    assert found["pipe"].map_threshold == pytest.approx(0.625 - 0.1)
    assert found["pipe"].map_range == (0.0, 0.75)
    assert found["billet"].map_threshold == pytest.approx(0.15)
    assert found["pipe"].tau == pytest.approx(0.15)


def test_one_picture_alone_cannot_be_split_and_is_not_gated() -> None:
    (found,) = category_thresholds([a_map("a", blank(4, 4), 0.1)], PAPER).values()
    assert math.isnan(found.tau)
    assert not found.is_normal(0.0)


def test_a_picture_at_tau_is_not_normal_and_official_has_no_gate() -> None:
    items = [a_map("a", blank(4, 4), 0.1), a_map("b", blank(4, 4), 0.9)]
    fixed = category_thresholds(items, dataclasses.replace(PAPER, tau=0.3))["plate"]
    assert fixed.is_normal(0.299)
    assert not fixed.is_normal(0.3)
    assert not category_thresholds(items, OFFICIAL)["plate"].is_normal(-1.0)


def test_otsu_splits_between_the_two_groups() -> None:
    assert otsu([0.9, 0.1, 0.2, 0.8, 0.1]) == pytest.approx(0.5)
    assert math.isnan(otsu([0.4, 0.4]))


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=30))
def test_otsu_equals_the_exhaustive_search(values: list[float]) -> None:
    distinct = sorted(set(values))

    def within(cut: float) -> float:
        parts = [[v for v in values if v <= cut], [v for v in values if v > cut]]
        return sum(float(np.var(part)) * len(part) for part in parts)

    found = otsu(values)
    if len(distinct) == 1:
        assert math.isnan(found)
    else:
        assert distinct[0] <= found <= distinct[-1]
        best = min(within(cut) for cut in distinct[:-1])
        below = max(v for v in distinct[:-1] if v <= found)
        assert within(below) == pytest.approx(best, abs=1e-9)


# --- properties ---


@settings(max_examples=60, deadline=None)
@given(
    grid=hnp.arrays(
        np.float16,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(0, 1, width=16),
    ),
    height=st.integers(12, 260),
    width=st.integers(12, 260),
    threshold=st.floats(0.05, 0.95),
    chosen=st.sampled_from([PAPER, OFFICIAL]),
)
def test_boxes_lie_inside_the_picture_and_hold_a_maximum_above_the_threshold(
    grid: np.ndarray, height: int, width: int, threshold: float, chosen: BoxSettings
) -> None:
    item = AnomalyMap("a", "a.png", "plate", 0.5, None, width, height, grid)
    anomaly_map = item.upsample()
    found = find_boxes(anomaly_map, threshold, chosen)
    assert len(found) <= 10
    assert [box.score for box in found] == sorted((box.score for box in found), reverse=True)
    for box in found:
        assert box.x >= 0
        assert box.y >= 0
        assert box.width > 0
        assert box.height > 0
        assert box.x + box.width <= width
        assert box.y + box.height <= height
        inside = anomaly_map[box.y : box.y + box.height, box.x : box.x + box.width]
        assert box.score == float(inside.max())
        assert box.score > threshold
        assert smallest_area(height, width) <= box.area <= box.width * box.height


# --- mask IoU ---


def test_iou_equals_hand_numbers() -> None:
    """At T_c = 0.5 picture a has 4 of 8 pixels (IoU 0.5), picture b 8 found, 8 true, 4 common."""
    sweep = MaskIouSweep(0.0, 1.0)
    mask = with_blobs((10, 10), [(0, 0, 8, 1, 1.0)]) > 0
    sweep.add("a", with_blobs((10, 10), [(0, 0, 4, 1, 0.75)]), mask, 0.5)
    sweep.add("b", with_blobs((10, 10), [(4, 0, 4, 2, 0.25)]), mask, 0.125)
    sweep.add("b", blank(10, 10), np.zeros((10, 10), dtype=bool), 0.125)
    overall, each = sweep.results()
    assert (overall.pictures, each["a"].pictures, each["b"].pictures) == (2, 1, 1)
    assert each["a"].category_mean == pytest.approx(4 / 8)
    assert each["b"].category_mean == pytest.approx(4 / 12)
    assert overall.category_mean == pytest.approx((4 / 8 + 4 / 12) / 2)
    assert overall.category_pooled == pytest.approx((4 + 4) / (8 + 12))
    assert overall.fixed_pooled == pytest.approx((4 + 4) / (8 + 12))
    assert 0 <= overall.fixed_threshold_pooled < 0.25


def test_the_best_fixed_threshold_is_found_and_applied_to_every_category() -> None:
    """Half of a's map is background at 0.4, so 0.4 is the cut; b's defect at 0.3 is then lost."""
    sweep = MaskIouSweep(0.0, 1.0)
    mask = with_blobs((10, 10), [(0, 0, 10, 5, 1.0)]) > 0
    hot = np.where(mask, 0.8, 0.4).astype(np.float32)
    sweep.add("a", hot, mask, 0.6)
    sweep.add("b", np.where(mask, 0.3, 0.0).astype(np.float32), mask, 0.2)
    overall, each = sweep.results()
    assert overall.category_mean == 1.0
    assert each["a"].fixed_mean == pytest.approx(0.5)
    assert each["b"].fixed_mean == 1.0
    assert overall.fixed_mean == pytest.approx(0.75)
    assert 0 <= overall.fixed_threshold_mean < 0.3


@settings(max_examples=40, deadline=None)
@given(
    anomaly_map=hnp.arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=16)),
    mask=hnp.arrays(np.bool_, (6, 7)),
    threshold=st.floats(0, 1, width=16),
)
def test_the_sweep_equals_counting_at_each_threshold(
    anomaly_map: np.ndarray, mask: np.ndarray, threshold: float
) -> None:
    sweep = MaskIouSweep(0.0, 1.0)
    sweep.add("a", anomaly_map, mask, threshold)
    overall, _ = sweep.results()
    if not mask.any():
        assert overall.pictures == 0
        assert math.isnan(overall.category_mean)
        return

    def iou(cut: float) -> float:
        found = anomaly_map > cut
        return float((found & mask).sum() / (found | mask).sum())

    assert overall.category_mean == pytest.approx(iou(threshold))
    assert overall.fixed_mean == pytest.approx(max(iou(k / 256) for k in range(256)))
    assert overall.fixed_mean == pytest.approx(iou(overall.fixed_threshold_mean))


# --- the artifact ---


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


# --- the command ---


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
