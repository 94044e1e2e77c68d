from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from millsight.platform.catalog.catalog import Catalog, read_folder
from millsight.platform.catalog.layouts.steeldefectx import read_class_sentences
from millsight.platform.errors import UserError

SIZE = (20, 10)


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., None]:
    """Writes distinct pictures below the test's folder."""
    count = iter(range(1000))

    def write(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE, (next(count), 90, 90)).save(path)

    return write


def put_mask(path: Path, *, empty: bool = False) -> None:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[2:4, 3:6] = 0 if empty else 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def by_name(catalog: Catalog) -> dict[str, tuple[str | None, str | None]]:
    start = len(catalog.uri) + 1
    return {sample.uri[start:]: (sample.label, sample.split) for sample in catalog}


def test_flat_folder_is_of_unknown_class(tmp_path: Path, put: Callable[..., None]) -> None:
    put("a.png", "b.JPG", "images/c.bmp", ".hidden.png", "__MACOSX/d.png")
    (tmp_path / "notes.txt").write_text("no picture")
    catalog = read_folder(tmp_path)
    assert catalog.layout == "folder"
    unknown = (None, None)
    assert by_name(catalog) == {"a.png": unknown, "b.JPG": unknown, "images/c.bmp": unknown}
    assert {(sample.width, sample.height) for sample in catalog} == {SIZE}
    assert catalog.samples[0].defective is None


def test_class_folders(tmp_path: Path, put: Callable[..., None]) -> None:
    put("train/good/1.png", "train/surface scratch/2.jpg", "validation/surface scratch/3.png")
    catalog = read_folder(tmp_path, category="plate")
    assert catalog.layout == "classes"
    assert by_name(catalog) == {
        "train/good/1.png": ("good", "train"),
        "train/surface scratch/2.jpg": ("surface scratch", "train"),
        "validation/surface scratch/3.png": ("surface scratch", "val"),
    }
    assert catalog.categories() == ("plate",)
    assert [sample.defective for sample in catalog] == [False, True, True]


def test_numbered_folders_are_ambiguous(tmp_path: Path, put: Callable[..., None]) -> None:
    put("coil_17/1.png", "coil_18/1.png")
    with pytest.raises(UserError, match="--layout") as raised:
        read_folder(tmp_path)
    assert "2 .png in coil_17, coil_18" in str(raised.value)
    assert "classes:" in str(raised.value)
    assert read_folder(tmp_path, "folder").samples[0].label is None
    assert read_folder(tmp_path, "classes").samples[0].label == "coil_17"
    with pytest.raises(UserError, match="no such layout; the layouts are auto, coco"):
        read_folder(tmp_path, "cocoo")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_folder(tmp_path / "absent")
    (tmp_path / "a.csv").write_text("1")
    with pytest.raises(UserError, match=r"Seen: 1 \.csv"):
        read_folder(tmp_path)


def coco(images: list[str], boxes: list[tuple[int, int, list[float]]]) -> str:
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(images)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": box}
            for n, (i, c, box) in enumerate(boxes, start=1)
        ],
        "categories": [{"id": 3, "name": "pit"}, {"id": 7, "name": "scratch"}],
    }
    return json.dumps(content)


def test_coco(tmp_path: Path, put: Callable[..., None]) -> None:
    put("images/pit/a.jpg", "images/pit/b.jpg", "images/good/c.jpg", "images/d.jpg")
    boxes = [(0, 7, [1, 2, 3, 4]), (0, 7, [0, 0, 2, 2]), (0, 3, [15, 5, 50, 2.5])]
    train = coco(["images/pit/a.jpg", "../../../etc/gone.jpg"], boxes)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(train)
    (tmp_path / "annotations" / "instances_val.json").write_text(coco(["d.jpg"], [(0, 3, [0] * 4)]))
    catalog = read_folder(tmp_path)
    assert catalog.layout == "coco"
    assert by_name(catalog) == {
        "images/d.jpg": ("pit", "val"),
        "images/good/c.jpg": (None, None),
        "images/pit/a.jpg": ("pit", "train"),
        "images/pit/b.jpg": (None, None),
    }
    first = next(sample for sample in catalog if sample.uri.endswith("a.jpg"))
    assert first.boxes == ((1, 2, 4, 6), (0, 0, 2, 2), (15, 5, 20, 7.5))
    assert first.box_labels == ("scratch", "scratch", "pit")
    assert [item.reason for item in catalog.quarantined] == ["no such file"]


def test_coco_broken(tmp_path: Path, put: Callable[..., None]) -> None:
    put("a.jpg")
    (tmp_path / "all.json").write_text(coco(["a.jpg"], [(0, 99, [0, 0, 1, 1])]))
    with pytest.raises(UserError, match=r"all\.json breaks the COCO format"):
        read_folder(tmp_path)
    (tmp_path / "all.json").write_text("{")
    with pytest.raises(UserError, match=r"all\.json is not valid JSON"):
        read_folder(tmp_path)


def voc(*objects: tuple[str, int, int, int, int]) -> str:
    parts = [
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1 in objects
    ]
    return f"<annotation><filename>x.jpg</filename>{''.join(parts)}</annotation>"


def test_voc_pairs_by_name_across_folders(tmp_path: Path, put: Callable[..., None]) -> None:
    put(
        "train/images/pit/pit_1.jpg", "train/images/pit/pit_2.jpg", "train/images/crack/crack_1.jpg"
    )
    put("validation/images/pit/pit_3.jpg", "validation/images/pit/pit_4.jpg")
    notes = tmp_path / "train" / "annotations"
    late = tmp_path / "validation" / "annotations"
    notes.mkdir()
    late.mkdir()
    (notes / "pit_1.xml").write_text(voc(("pit", 1, 2, 5, 6), ("crack", 2, 2, 9, 9)))
    (late / "pit_2.xml").write_text(voc(("crack", 1, 1, 4, 4)))
    (notes / "crack_1.xml").write_text("<annotation><object>")
    (late / "pit_4.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    put_mask(tmp_path / "masks" / "pit" / "pit_1.png")
    catalog = read_folder(tmp_path)
    assert catalog.layout == "voc"
    assert by_name(catalog) == {
        "train/images/pit/pit_1.jpg": ("pit", "train"),
        "train/images/pit/pit_2.jpg": ("pit", "train"),
        "validation/images/pit/pit_3.jpg": (None, "val"),
    }
    assert catalog.samples[0].box_labels == ("pit", "crack")
    assert catalog.samples[0].boxes[0] == (1, 2, 5, 6)
    assert catalog.samples[0].mask_uri == str(tmp_path / "masks/pit/pit_1.png")
    assert catalog.samples[1].mask_uri is None
    assert len(catalog.quarantined) == 2
    assert all("damaged annotation" in item.reason for item in catalog.quarantined)


def test_yolo(tmp_path: Path, put: Callable[..., None]) -> None:
    put("images/train/a.jpg", "images/train/b.jpg", "images/val/a.jpg", "images/val/c.jpg")
    (tmp_path / "data.yaml").write_text("names: {0: pit, 1: scratch}\n")
    for name, text in {
        "train/a": "1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.1 0.1\n1 0.9 0.5 0.4 0.2\n",
        "train/b": "",
        "val/a": "0 0.1 0.2 0.5 0.2 0.5 0.6\n",
        "val/c": "0 0.1 nan 0.1 0.1\n",
    }.items():
        path = tmp_path / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    catalog = read_folder(tmp_path)
    assert catalog.layout == "yolo", catalog.evidence
    assert by_name(catalog) == {
        "images/train/a.jpg": ("scratch", "train"),
        "images/train/b.jpg": (None, "train"),
        "images/val/a.jpg": ("pit", "val"),
    }
    assert np.allclose(catalog.samples[0].boxes, [(8, 3, 12, 7), (1, 0.5, 3, 1.5), (14, 4, 20, 6)])
    assert np.allclose(catalog.samples[2].boxes, [(2, 2, 10, 6)])
    assert "damaged annotation" in catalog.quarantined[0].reason


@pytest.mark.parametrize("top", ["", "bottle/"])
def test_mvtec(tmp_path: Path, put: Callable[..., None], top: str) -> None:
    put(f"{top}train/good/000.png", f"{top}test/good/000.png", f"{top}test/bent lip/000.png")
    put_mask(tmp_path / f"{top}ground_truth/bent lip/000_mask.png")
    catalog = read_folder(tmp_path, category="line 2")
    assert catalog.layout == "mvtec"
    assert by_name(catalog) == {
        f"{top}test/bent lip/000.png": ("bent lip", "test"),
        f"{top}test/good/000.png": ("good", "test"),
        f"{top}train/good/000.png": ("good", "train"),
    }
    assert catalog.categories() == ("bottle" if top else "line 2",)
    assert [sample.mask_uri is None for sample in catalog] == [False, True, True]


def test_mask_with_the_same_name(tmp_path: Path, put: Callable[..., None]) -> None:
    names = ["MT_Free/Imgs/exp1_num_10.jpg", "MT_Free/Imgs/exp2_num_95.jpg"]
    names += ["MT_Blowhole/Imgs/exp1_num_2000.jpg"]
    put(*names)
    for name in names:
        put_mask((tmp_path / name).with_suffix(".png"), empty="Free" in name)
    catalog = read_folder(tmp_path)
    assert catalog.layout == "beside"
    labels = {sample.group: sample.label for sample in catalog}
    assert labels == {"num_10": "good", "num_2000": "blowhole"}
    assert all(sample.mask_uri and sample.mask_id for sample in catalog)


def test_mask_with_an_ending(tmp_path: Path, put: Callable[..., None]) -> None:
    put("kos01/Part0.jpg", "kos01/Part1.jpg", "kos02/Part0.jpg", "kos02/Part1.jpg")
    put_mask(tmp_path / "kos01/Part0_label.png")
    put_mask(tmp_path / "kos01/Part1_label.png", empty=True)
    (tmp_path / "kos02/Part0_label.png").write_bytes(b"")
    catalog = read_folder(tmp_path)
    assert catalog.layout == "beside"
    found = {sample.uri[-15:]: (sample.label, sample.group) for sample in catalog}
    assert found == {
        "kos01/Part0.jpg": ("defect", "kos01"),
        "kos01/Part1.jpg": ("good", "kos01"),
        "kos02/Part1.jpg": (None, "kos02"),
    }
    assert "mask kos02/Part0_label.png: empty file" in catalog.quarantined[0].reason


def test_steeldefectx(tmp_path: Path, put: Callable[..., None]) -> None:
    put("Oil_spot/a.jpg", "Oil_spot/b.jpg", "Pit/c.jpg")
    sentences = {"Oil spot": "A photo of Oil spot, dark and round.", "Pit": "A photo of a Pit."}
    (tmp_path / "class_descriptions.json").write_text(json.dumps(sentences))
    records = [{"image": "b.jpg", "class": "Oil spot", "T2": "A dark spot at the left edge."}]
    (tmp_path / "records.json").write_text(json.dumps(records))
    catalog = read_folder(tmp_path)
    assert catalog.layout == "steeldefectx"
    assert [sample.caption for sample in catalog] == [
        sentences["Oil spot"],
        "A dark spot at the left edge.",
        sentences["Pit"],
    ]
    assert [sample.label for sample in catalog] == ["Oil_spot", "Oil spot", "Pit"]
    assert read_class_sentences(str(tmp_path / "class_descriptions.json")) == sentences
    with pytest.raises(UserError, match="not an object of class name"):
        read_class_sentences(str(tmp_path / "records.json"))


def test_split_csv_is_the_only_split(tmp_path: Path, put: Callable[..., None]) -> None:
    put("train/pit/1.png", "train/pit/2.png", "test/free/3.png")
    rows = "file,class,group,split\ntrain/pit/1.png,pit,coil 1,test\n"
    rows += "test/free/3.png,free,coil 2,validation\ngone.png,pit,coil 3,train\n"
    (tmp_path / "split.csv").write_text(rows)
    catalog = read_folder(tmp_path)
    assert by_name(catalog) == {
        "test/free/3.png": ("good", "val"),
        "train/pit/1.png": ("pit", "test"),
        "train/pit/2.png": ("pit", None),
    }
    assert [sample.group for sample in catalog] == ["coil 2", "coil 1", None]
    assert "named in split.csv" in catalog.quarantined[0].reason
    (tmp_path / "split.csv").write_text("file,split\ntrain/pit/1.png,dev\n")
    with pytest.raises(UserError, match="split 'dev'"):
        read_folder(tmp_path)
    (tmp_path / "split.csv").write_text("name,split\n")
    with pytest.raises(UserError, match="lacks the column file"):
        read_folder(tmp_path)
