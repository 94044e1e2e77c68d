from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from millsight.evaluation import anomaly_maps
from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.evaluation.metrics.masks import defect_shape
from millsight.evaluation.metrics.pixels import picture_pixels, pixel_curve
from millsight.evaluation.results import (
    PictureResult,
    ResultBox,
    from_samples,
    from_table,
    masks,
    read_table,
    to_table,
)
from millsight.evaluation.results.fiftyone import write_fiftyone
from millsight.evaluation.results.histograms import score_histograms
from millsight.evaluation.results.maps import add_maps
from millsight.platform import storage
from millsight.platform.artifacts import drafting
from millsight.platform.catalog.catalog import read_folder
from millsight.platform.catalog.sample import Sample
from millsight.platform.catalog.synthetic import COMPOSED, RENDERED
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe

WIDTH, HEIGHT = 20, 12


def row(uri: str, sample_id: str | None = None, **known) -> PictureResult:
    return PictureResult(sample_id or f"id-{uri}", uri, "steel", WIDTH, HEIGHT, **known)


def write_png(path, values) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)
    return str(path)


def square(x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:6, x0:x1] = 255
    return mask


class TestTruth:
    def test_what_a_catalog_knows_is_filled_in_and_no_more(self, tmp_path):
        mask = write_png(tmp_path / "mask.png", square(3, 11))
        size = {"width": WIDTH, "height": HEIGHT}
        box = {"boxes": ((1.0, 2.0, 3.0, 4.0),), "box_labels": ("dent",)}
        samples = [
            Sample("a", "a.png", "s", "test", None, "dent", mask, synthetic=RENDERED, **size),
            Sample("b", "b.png", "s", label="good", **size),
            Sample("c", "c.png", "s", **size),
            Sample("d", "d.png", "s", label="dent", **box, **size),
        ]
        a, b, c, d = from_samples(samples)
        assert (a.defective, a.defect_area, a.defect_elongation, a.has_mask) == (True, 32, 2, True)
        assert (b.defective, b.defect_area, b.defect_elongation, b.has_mask) == (
            False,
            0,
            None,
            False,
        )
        assert (c.defective, c.defect_area) == (None, None)
        assert d.defect_area is None
        assert [item.true_boxes for item in (a, b, c)] == [None, (), None]
        assert d.true_boxes == (ResultBox(1, 2, 3, 4, "dent"),)
        assert a.split == "test"
        assert [row.synthetic for row in (a, b)] == [True, False]

    def test_what_was_made_out_of_real_pictures_is_only_learned_from(self):
        learned = Sample("a", "a.png", "s", "train", width=9, height=9, synthetic=COMPOSED)
        (row,) = from_samples([learned])
        assert row.synthetic
        for split, place in (("test", "in the split test"), (None, "in no split")):
            with pytest.raises(UserError, match=rf"a\.png is {place}.*Judge on real ones only"):
                from_samples([replace(learned, split=split)])

    def test_a_mask_of_another_size_is_named(self, tmp_path):
        mask = write_png(tmp_path / "mask.png", square(3, 11))
        sample = Sample("a", "a.png", "s", label="dent", mask_uri=mask, width=9, height=9)
        with pytest.raises(UserError, match=r"mask\.png: mask is 20x12 pixels, its picture 9x9"):
            from_samples([sample])


class TestMasks:
    def test_pixels_are_counted_against_whatever_truth_there_is(self, tmp_path):
        truth = write_png(tmp_path / "truth.png", square(2, 10))
        rows = [
            row("x/a.png", defective=True, true_mask_uri=truth),
            row("x/b.jpg", defective=False),
            row("x/c.png", defective=True),
        ]
        write_png(tmp_path / "p/x/a.png", square(5, 12))
        write_png(tmp_path / "p/b_pred.png", square(0, 3) // 255)
        write_png(tmp_path / "p/c.png", square(0, 1))
        a, b, c = masks.add_masks(rows, str(tmp_path / "p"))
        assert (a.tp, a.fp, a.fn, a.predicted_area) == (20, 8, 12, 28)
        assert (b.tp, b.fp, b.fn, b.predicted_area) == (0, 12, 0, 12)
        assert (c.tp, c.fp, c.fn, c.predicted_area) == (None, None, None, 4)
        assert a.predicted_mask_uri.endswith("p/x/a.png")
        assert a.map_histogram is None

    @pytest.mark.parametrize("top", [255, 65535])
    def test_probabilities_are_cut_and_ranked(self, tmp_path, top):
        rng = np.random.default_rng(0)
        truth = square(2, 10)
        kind = np.uint8 if top == 255 else np.uint16
        values = (rng.random(truth.shape) * top * 0.7 + (truth > 0) * top * 0.3).astype(kind)
        write_png(tmp_path / "p/a.png", values)
        uri = write_png(tmp_path / "truth.png", truth)
        rows = [row("a.png", defective=True, true_mask_uri=uri)]
        (found,) = masks.add_masks(rows, str(tmp_path / "p"), threshold=0.6)
        predicted = values / top >= 0.6
        assert (found.tp, found.fp) == (
            (predicted & (truth > 0)).sum(),
            (predicted & (truth == 0)).sum(),
        )
        exact = pixel_curve([picture_pixels(values / np.float32(top), truth > 0)])
        assert score_histograms(to_table([found], "r")).curve().auroc() == pytest.approx(
            exact.auroc(), abs=0.01
        )

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            (np.full((HEIGHT, WIDTH), 3, np.uint8), "values such as 3, not just 0 and 255"),
            (np.eye(HEIGHT, WIDTH, dtype=np.uint8) * 200, "Pass a threshold"),
            (np.zeros((WIDTH, HEIGHT), np.uint8), "has 12x20 pixels, its picture 20x12"),
            (np.tile(np.arange(3, dtype=np.uint8), (HEIGHT, WIDTH, 1)), "colour picture"),
        ],
    )
    def test_other_values_and_sizes_are_refused(self, tmp_path, values, reason):
        write_png(tmp_path / "p/a.png", values)
        with pytest.raises(UserError, match=rf"a\.png .*{reason}"):
            masks.add_masks([row("a.png")], str(tmp_path / "p"))

    def test_what_is_missing_or_broken_is_named(self, tmp_path):
        rows, folder = [row("a.png"), row("b.png")], tmp_path / "p"
        with pytest.raises(UserError, match="no such folder"):
            masks.add_masks(rows, str(folder))
        folder.mkdir()
        with pytest.raises(UserError, match="no PNG file"):
            masks.add_masks(rows, str(folder))
        data = (tmp_path / write_png(tmp_path / "p/a.png", square(1, 3))).read_bytes()
        with pytest.raises(UserError, match=r"nothing for 1 of 2 pictures, such as b\.png"):
            masks.add_masks(rows, str(folder))
        for broken in (b"", b"GIF89a", data[:40], data[:-30]):
            (folder / "b.png").write_bytes(broken)
            with pytest.raises(UserError, match=r"b\.png"):
                masks.add_masks(rows, str(folder))
        with pytest.raises(UserError, match="threshold 0"):
            masks.add_masks(rows, str(folder), threshold=0)

    def test_a_bomb_is_refused_by_its_header(self, tmp_path):
        def chunk(kind: bytes, body: bytes) -> bytes:
            return (
                struct.pack(">I", len(body))
                + kind
                + body
                + struct.pack(">I", zlib.crc32(kind + body))
            )

        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(masks.PNG + header + body)
        with pytest.raises(UserError, match="pixels"):
            masks.add_masks([row("a.png")], str(tmp_path))


def make_artifact(tmp_path, maps, name="maps"):
    with drafting(tmp_path / name, Recipe("maps", 1, {"name": name}, {})) as draft:
        storage.write_table(draft.file(anomaly_maps.FILE), anomaly_maps.to_table(maps))
        return draft.commit().path


class TestMaps:
    def test_scores_and_histograms_are_those_of_the_upsampled_map(self, tmp_path):
        rng = np.random.default_rng(0)
        truth = write_png(tmp_path / "truth.png", square(2, 10))
        rows = [
            row("a.png", defective=True, true_mask_uri=truth),
            row("b.png", defective=False),
            row("c.png", defective=True),
        ]
        maps = [
            AnomalyMap(r.sample_id, r.uri, "s", 0.5, None, WIDTH, HEIGHT, grid.astype(np.float16))
            for r, grid in zip(rows, rng.random((3, 4, 5)), strict=True)
        ]
        a, b, c = add_maps(rows, make_artifact(tmp_path, maps))
        assert [r.score for r in (a, b, c)] == [0.5] * 3
        assert c.map_histogram is None
        assert sum(a.map_histogram.defective) == 32
        assert sum(a.map_histogram.overlap) == pytest.approx(1)
        assert sum(b.map_histogram.normal) == WIDTH * HEIGHT
        masks_ = [square(2, 10) > 0, np.zeros((HEIGHT, WIDTH), bool)]
        pixels = [picture_pixels(item.grid, m) for item, m in zip(maps[:2], masks_, strict=True)]
        exact = pixel_curve(pixels).auroc()
        assert score_histograms(to_table([a, b], "r")).curve().auroc() == pytest.approx(
            exact, abs=0.01
        )

    def test_missing_maps_sizes_and_damage_are_named(self, tmp_path):
        grid = np.zeros((2, 2), np.float16)
        item = AnomalyMap("id-a.png", "a.png", "s", 0.5, None, WIDTH, HEIGHT, grid)
        artifact = make_artifact(tmp_path, [item])
        with pytest.raises(UserError, match=r"nothing for 1 of 2 pictures, such as b\.png"):
            add_maps([row("a.png"), row("b.png")], artifact)
        with pytest.raises(UserError, match=r"a\.png has 5x12 pixels"):
            add_maps([replace(row("a.png"), width=5)], artifact)
        holed = replace(item, grid=grid * np.float16("nan"))
        with pytest.raises(UserError, match=r"damaged .*NaN"):
            add_maps([row("a.png", defective=False)], make_artifact(tmp_path, [holed], "holed"))
        storage.write_bytes(f"{artifact}/{anomaly_maps.FILE}", b"PAR1")
        with pytest.raises(UserError, match=r"maps\.parquet holds no readable maps"):
            add_maps([row("a.png")], artifact)
        with pytest.raises(UserError, match="not a finished artifact"):
            add_maps([row("a.png")], str(tmp_path / "nothing"))


def test_the_fiftyone_folder_has_the_structure_its_importer_reads(tmp_path):
    write_png(tmp_path / "a.png", square(2, 10))
    rows = [
        row(
            str(tmp_path / "a.png"),
            split="test",
            defective=True,
            decision=False,
            label="dent",
            predicted_label="good",
            class_scores={"good": 0.75},
            score=0.5,
            true_mask_uri=str(tmp_path / "a.png"),
            true_boxes=(ResultBox(5, 3, 10, 6, "dent"),),
            predicted_boxes=(ResultBox(0, 0, 10, 12, None, 0.25),),
        ),
        row("b.png", defective=False, decision=True),
    ]
    write_fiftyone(tmp_path / "fo", rows, "run 1")
    metadata = json.loads((tmp_path / "fo/metadata.json").read_text())
    # With a version, FiftyOne would take the file for a dump of its own database.
    assert "version" not in metadata
    assert metadata["info"] == {"run": "run 1"}
    a, b = json.loads((tmp_path / "fo/samples.json").read_text())["samples"]
    assert a["filepath"] == str(tmp_path / "a.png")
    assert a["tags"] == ["test", "escape"]
    assert b["tags"] == ["overkill"]
    assert a["metadata"] == {"_cls": "ImageMetadata", "width": WIDTH, "height": HEIGHT}
    assert a["ground_truth"]["_cls"] == "Detections"
    (truth,), (found,) = a["ground_truth"]["detections"], a["predictions"]["detections"]
    assert truth["bounding_box"] == [0.25, 0.25, 0.25, 0.25]
    assert truth["_cls"] == "Detection"
    assert "confidence" not in truth
    assert (found["label"], found["confidence"]) == ("defect", 0.25)
    assert a["predicted_label"]["confidence"] == 0.75
    assert a["ground_truth_mask"]["_cls"] == "Segmentation"
    assert "predictions" not in b
    assert all(name[0] != "_" and "$" not in name for name in a)


def test_the_documents_example_runs_as_it_stands(tmp_path, monkeypatch):
    document = Path(__file__).parents[2] / "docs" / "result-table.md"
    example = document.read_text().partition("```python\n")[2].partition("```")[0]
    for name, values in (("good/0", square(0, 0)), ("dent/1", square(2, 10))):
        write_png(tmp_path / f"magnetic-tile/test/{name}.png", values + 7)
        write_png(tmp_path / f"predicted-masks/{name}.png", values)
    write_png(tmp_path / "magnetic-tile/ground_truth/dent/1_mask.png", square(2, 10))
    (tmp_path / "scores.csv").write_text("file,score\ngood/0.png,0.1\ndent/1.png,0.9\n")
    monkeypatch.chdir(tmp_path)
    exec(example, {})  # noqa: S102
    rows = sorted(from_table(read_table("results.parquet")), key=lambda item: item.uri)
    assert [(item.decision, item.tp, item.score) for item in rows] == [
        (True, 32, 0.9),
        (False, 0, 0.1),
    ]


def test_magnetic_tile_masks_made_elsewhere_are_evaluated_unchanged(tmp_path, shared_data):
    catalog = read_folder(shared_data / "magnetic-tile")
    rows = from_samples(catalog.samples[::10])
    for item in rows:
        mask = np.zeros((item.height, item.width), np.uint8)
        if item.has_mask:
            mask = cv2.imread(item.true_mask_uri, cv2.IMREAD_GRAYSCALE)
        grown = cv2.dilate(np.uint8(mask > 127) * 255, np.ones((3, 3), np.uint8))
        write_png(tmp_path / f"{item.uri.rpartition('/')[2].rpartition('.')[0]}.png", grown)
    found = masks.add_masks(rows, str(tmp_path))
    assert len(found) > 80
    assert any(item.defective for item in found)
    for item in found:
        assert item.fn == 0
        assert item.tp == item.defect_area
        assert item.tp + item.fp == item.predicted_area


def test_truth_of_a_catalog_has_the_shape_of_its_masks(shared_data):
    catalog = read_folder(shared_data / "magnetic-tile")
    sample = next(item for item in catalog if item.mask_uri and item.defective)
    (found,) = from_samples([sample])
    mask = cv2.imread(sample.mask_uri, cv2.IMREAD_GRAYSCALE) > 127
    assert found.defect_area == mask.sum()
    assert found.defect_elongation == defect_shape(mask).elongation
