from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from millsight.platform.catalog.catalog import Catalog, read_folder
from millsight.platform.catalog.duplicates import find_duplicates
from millsight.platform.catalog.layouts.steeldefectx import read_class_sentences
from millsight.platform.catalog.pictures import open_mask

SETS = {
    "magnetic-tile": ("beside", 937, 937, 178),
    "neu-det": ("voc", 1800, 899, 0),
    "gc10-det-224": ("coco", 2294, 0, 467),
    "x-sdd": ("classes", 1360, 0, 0),
    "kolektor-sdd-512": ("beside", 384, 384, 48),
}


@pytest.fixture(scope="module")
def catalogs(shared_data: Path) -> dict[str, Catalog]:
    return {name: read_folder(shared_data / name) for name in SETS}


@pytest.mark.parametrize("name", SETS)
def test_counts(catalogs: dict[str, Catalog], name: str) -> None:
    layout, pictures, masks, groups = SETS[name]
    catalog = catalogs[name]
    assert catalog.layout == layout
    assert catalog.quarantined == ()
    assert len(catalog) == pictures
    assert sum(sample.mask_uri is not None for sample in catalog) == masks
    assert catalog.summary()["groups"] == groups
    assert catalog.divided_groups() == ()


@pytest.mark.parametrize("name", SETS)
def test_split_csv_holds(catalogs: dict[str, Catalog], shared_data: Path, name: str) -> None:
    with (shared_data / name / "split.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    renamed = {"ok": "good", "free": "good"}
    assert len(rows) == len(catalogs[name])
    for sample in catalogs[name]:
        row = rows[str(Path(sample.uri).relative_to(shared_data / name))]
        assert sample.split == row["split"]
        assert sample.group == row.get("group")
        assert sample.label in {renamed.get(row["class"], row["class"]), None}


def test_labels(catalogs: dict[str, Catalog]) -> None:
    counts = {name: Counter(s.label for s in catalogs[name]) for name in SETS}
    assert counts["magnetic-tile"]["good"] == 651
    assert counts["kolektor-sdd-512"] == {"good": 334, "defect": 50}
    assert set(counts["neu-det"].values()) == {300}
    assert counts["gc10-det-224"][None] == 14
    assert counts["gc10-det-224"]["good"] == 0
    assert counts["x-sdd"]["red iron"] == 397


def test_neu_boxes(catalogs: dict[str, Catalog]) -> None:
    catalog = catalogs["neu-det"]
    boxes = [(s.label, label) for s in catalog for label in s.box_labels]
    assert len(boxes) == 4189
    assert sum(own != label for own, label in boxes) == 188
    strayed = next(s for s in catalog if s.uri.endswith("crazing_240.jpg"))
    assert "/train/" in strayed.uri
    assert strayed.boxes


def test_gc10_boxes(catalogs: dict[str, Catalog]) -> None:
    catalog = catalogs["gc10-det-224"]
    assert sum(len(sample.boxes) for sample in catalog) == 3541
    assert all(sample.boxes for sample in catalog if sample.label is not None)


def test_three_uneven_tiles_have_empty_masks(catalogs: dict[str, Catalog]) -> None:
    empty = 0
    for sample in catalogs["magnetic-tile"].where(defective=True):
        assert sample.mask_uri is not None
        size = (sample.width or 0, sample.height or 0)
        empty += not open_mask(sample.mask_uri, size).any()
    assert empty == 3


def test_gc10_near_duplicates(catalogs: dict[str, Catalog]) -> None:
    catalog = catalogs["gc10-det-224"]
    report = find_duplicates(catalog)
    same_coil = {s.uri for p in report.pairs if p.same_group for s in (p.first, p.second)}
    assert 0.42 < len(same_coil) / len(catalog) < 0.48
    assert not any(pair.across_splits and pair.same_group for pair in report.pairs)


def test_class_sentences(shared_data: Path) -> None:
    folder = shared_data / "steeldefectx-text"
    catalog = read_folder(folder)
    assert (catalog.layout, len(catalog)) == ("steeldefectx", 0)
    sentences = read_class_sentences(str(folder / "class_descriptions.json"))
    assert len(sentences) == 25
    assert sentences["Crazing"].startswith("A photo of Crazing")
