"""Sets on disk: read back by the catalog with equal masks and boxes, packed, described."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from defect_materials import steel
from pycocotools import mask as coco_masks

from millsight.evaluation.results import from_samples
from millsight.generators.export.card import Card, Reason, render_card, write_card
from millsight.generators.export.export import Exported, export, write_zip
from millsight.generators.export.files import sample_name
from millsight.generators.export.formats import divide
from millsight.generators.masks.morphology import group_boxes
from millsight.generators.samples import Generated, Request, SampleSpec, Verdict
from millsight.platform.catalog.catalog import load_data
from millsight.platform.catalog.pictures import open_mask, open_picture
from millsight.platform.catalog.synthetic import COMPOSED, GENERATED
from millsight.platform.errors import UserError
from millsight.platform.services.archives import ZipLimits, extract_zip

LABELS = ("rolled pit", "scratch 2", "crease")
LAYOUTS = ("folder", "coco", "yolo")


def made(index: int) -> Generated:
    """A sample with one to three groups of regions, some at a side; the last class has none."""
    rng = np.random.default_rng(index)
    size = (40 + index, 53)
    mask = np.zeros(size, bool)
    for _ in range(1 + index % 3):
        y, x = int(rng.integers(0, size[0] - 4)), int(rng.integers(0, size[1] - 6))
        mask[y : y + 1 + index % 4, x : x + 6] = True
    spec = SampleSpec(LABELS[index % 2], mode="copy_paste" if index % 3 else "text", seed=5)
    picture = steel(index, size)
    if index == 4:
        picture = np.random.default_rng(4).integers(0, 255, (*size, 3), dtype=np.uint8)
    verdicts = (Verdict("present", True, 7.5, "seen"), Verdict("far", True, float("nan"), "-"))
    about = {"plate": {"id": f"p{index}"}}
    request = Request(spec, index, index % 2)
    return Generated(
        request, picture, mask, group_boxes(mask, 2.0), provenance=about, verdicts=verdicts
    )


@pytest.fixture
def samples() -> list[Generated]:
    return [made(index) for index in range(9)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_catalog_reads_back_what_was_written(
    samples: list[Generated], tmp_path: Path, layout: str
) -> None:
    found = export(iter(samples), str(tmp_path / "set"), layout, LABELS)
    assert (found.pictures, found.labels) == (9, {"rolled pit": 5, "scratch 2": 4, "crease": 0})
    catalog = load_data(tmp_path / "set")
    assert catalog.quarantined == ()
    assert catalog.layout == {"folder": "classes"}.get(layout, layout)
    read = {Path(sample.uri).stem: sample for sample in catalog}
    assert set(read) == {sample_name(sample) for sample in samples}
    for sample in samples:
        back = read[sample_name(sample)]
        spec = sample.request.spec
        assert (back.label, back.split) == (spec.label, "train")
        assert back.synthetic == (GENERATED if spec.mode == "text" else COMPOSED)
        assert np.array_equal(open_picture(back.uri), sample.picture)
        assert np.array_equal(open_mask(back.mask_uri, (back.width, back.height)), sample.mask)
        if layout != "folder":
            assert sorted(back.boxes) == sorted(sample.boxes)
            assert set(back.box_labels) == {spec.label}
    assert all(row.synthetic for row in from_samples(catalog))
    moved = [replace(sample, split="test") for sample in catalog]
    with pytest.raises(UserError, match=r"is in the split test, and no photograph"):
        from_samples(moved)


def test_coco_holds_each_box_its_own_pixels(samples: list[Generated], tmp_path: Path) -> None:
    export(samples, str(tmp_path), "coco", LABELS)
    content = json.loads((tmp_path / "annotations" / "instances_train.json").read_text())
    assert [item["name"] for item in content["categories"]] == list(LABELS)
    names = {item["id"]: item["file_name"] for item in content["images"]}
    for sample in samples:
        own = [
            item
            for item in content["annotations"]
            if names[item["image_id"]] == f"{sample_name(sample)}.png"
        ]
        total = np.zeros(sample.mask.shape, int)
        for item in own:
            height, width = item["segmentation"]["size"]
            packed = coco_masks.frPyObjects(item["segmentation"], height, width)
            pixels = coco_masks.decode(packed)
            assert pixels.sum() == item["area"] == coco_masks.area(packed)
            assert coco_masks.toBbox(packed).tolist() == item["bbox"]
            total += pixels
        assert np.array_equal(total, sample.mask)
    assert len({item["id"] for item in content["annotations"]}) == len(content["annotations"])


def test_overlapping_boxes_share_no_pixel() -> None:
    mask = np.zeros((20, 20), bool)
    mask[0, :] = mask[:, 0] = True  # An angle whose box holds the other region.
    mask[10:12, 10:12] = True
    whole, inner = divide(mask, group_boxes(mask, 2))
    assert np.array_equal(whole | inner, mask)
    assert inner.sum() == 4
    assert not (whole & inner).any()
    assert divide(np.zeros_like(mask), ()) == []


def test_only_one_sample_is_in_memory(tmp_path: Path) -> None:
    alive: set[int] = set()

    class Counted(np.ndarray):
        def __del__(self) -> None:
            alive.discard(id(self))

    most = 0

    def stream() -> Iterator[Generated]:
        nonlocal most
        for index in range(6):
            sample = made(index)
            picture = sample.picture.view(Counted)
            alive.add(id(picture))
            most = max(most, len(alive))
            yield replace(sample, picture=picture)
            del picture, sample

    export(stream(), str(tmp_path), "folder", LABELS)
    assert most <= 3  # The one written, the one made, and a view of either.


def test_every_sample_has_a_line_that_says_how_to_make_it(
    samples: list[Generated], tmp_path: Path
) -> None:
    export(samples, str(tmp_path), "yolo", LABELS)
    lines = [json.loads(line) for line in (tmp_path / "provenance.jsonl").open()]
    for sample, line in zip(samples, lines, strict=True):
        request = dict(line["request"])
        assert request.pop("seed") == sample.request.seed
        spec = SampleSpec(**request.pop("spec"))
        assert Request(spec, **request) == sample.request
        assert (tmp_path / line["file"]).exists()
        assert (tmp_path / line["mask"]).exists()
        assert [tuple(box) for box in line["boxes"]] == list(sample.boxes)
        assert line["provenance"] == sample.provenance
        assert [verdict["value"] for verdict in line["verdicts"]] == [7.5, None]
    assert "val:" in (tmp_path / "data.yaml").read_text()


@pytest.mark.parametrize(
    "label", ["a/b", "..", "good", "OK", "train", "masks", "a\nb", "", "x" * 65]
)
def test_classes_that_could_not_be_read_back_are_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(UserError, match="cannot name a folder"):
        export([], str(tmp_path / "set"), "folder", (label,))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_of_boxes_refuses_a_sample_without_any(tmp_path: Path, layout: str) -> None:
    nowhere = replace(made(0), mask=np.zeros_like(made(0).mask), boxes=())
    if layout == "folder":
        export([nowhere], str(tmp_path / "set"), layout, LABELS)
        (sample,) = load_data(tmp_path / "set")
        assert sample.label == LABELS[0]
    else:
        with pytest.raises(UserError, match=f"{layout} tells classes by boxes.*sample 0"):
            export([nowhere], str(tmp_path / "set"), layout, LABELS)


def test_names_differ_by_everything_that_decides_a_sample() -> None:
    spec = SampleSpec("pit")
    requests = [Request(spec, 0), Request(spec, 1), Request(spec, 0, 1)]
    requests += [Request(replace(spec, **one), 0) for one in ({"seed": 1}, {"label": "dent"})]
    names = {sample_name(replace(made(0), request=request)) for request in requests}
    assert len(names) == len(requests)


class TestZip:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_it_unpacks_in_its_place_to_the_same_set(
        self, samples: list[Generated], tmp_path: Path, layout: str
    ) -> None:
        found = export(samples, str(tmp_path / "set"), layout, LABELS)
        write_card(Card("Set", "Apache-2.0"), found)
        count = write_zip(str(tmp_path / "set"), str(tmp_path / "set.zip"))
        suffixes = ZipLimits().suffixes | {".md", ".jsonl", ".yaml"}
        files = extract_zip(tmp_path / "set.zip", tmp_path / "again", ZipLimits(suffixes=suffixes))
        assert len(files) == count
        assert not (tmp_path / "README.md").exists()
        here, there = load_data(tmp_path / "again"), load_data(tmp_path / "set")
        assert here.with_samples(()).layout == there.layout
        pairs = zip(here, there, strict=True)
        assert all(
            one == replace(two, uri=one.uri, mask_uri=one.mask_uri, category=one.category)
            for one, two in pairs
        )

    def test_equal_sets_give_equal_bytes_and_members_are_plain_files(
        self, samples: list[Generated], tmp_path: Path
    ) -> None:
        archives = []
        for name in ("a", "b"):
            export(samples, str(tmp_path / name), "coco", LABELS)
            write_zip(str(tmp_path / name), str(tmp_path / f"{name}.zip"))
            archives.append((tmp_path / f"{name}.zip").read_bytes())
        assert archives[0] == archives[1]
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            assert archive.testzip() is None
            for info in archive.infolist():
                assert not info.filename.startswith("/")
                assert ".." not in info.filename
                assert info.external_attr >> 16 == 0o100644


class TestCard:
    exported = Exported("set", "coco", 6, {"pit": 4, "dent|x": 2})
    card = Card(
        title="Rolled steel",
        license="CreativeML Open RAIL-M",
        base_model="example/model@0123abc",
        adapters={"pit": "f00d"},
        seeds=(3, 4),
        tried=10,
        reasons=(Reason("blank", 10, 1), Reason("memorised", 9, 3), Reason("unseen", 0, 0)),
        lineage={"data": "0123456789ab"},
        settings={"strength": 0.6},
    )

    def test_it_says_what_was_made_of_what_and_what_was_thrown_away(self) -> None:
        text = render_card(self.card, self.exported)
        for part in (
            "They are no photographs",
            "| licence | CreativeML Open RAIL-M |",
            "| base model | example/model@0123abc |",
            "| adapters | pit (f00d) |",
            "| seeds | 3, 4 |",
            "10 samples were made, 6 (60%) kept.",
            "| memorised | 9 | 3 | 67% |",
            "| unseen | 0 | 0 | - |",
            "| data | 0123456789ab |",
            "| strength | 0.6 |",
        ):
            assert part in text

    def test_text_from_strangers_stays_in_its_cell(self) -> None:
        text = render_card(replace(self.card, title="a\n# b <script>"), self.exported)
        assert "| dent\\|x | 2 |" in text
        assert "<script>" not in text.replace("\\<", "")
        assert text.startswith("# a # b ")


def test_grey_pictures_are_written_with_one_channel(
    samples: list[Generated], tmp_path: Path
) -> None:
    export(samples, str(tmp_path), "coco", LABELS)
    channels = {
        sample.request.index: cv2.imread(
            str(tmp_path / "images" / f"{sample_name(sample)}.png"), cv2.IMREAD_UNCHANGED
        ).ndim
        for sample in samples
    }
    assert {index for index, count in channels.items() if count == 3} == {4}
