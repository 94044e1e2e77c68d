"""Pseudo boxes come from a file that anybody may have edited: one clear message each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bright_boxes import HEIGHT, SIDE, WIDTH, pseudo_boxes

from millsight.platform.artifacts import Artifact
from millsight.platform.errors import UserError
from millsight.pretraining.detector.pseudo_labels import open_boxes, read_boxes

Content = dict[str, Any]


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return pseudo_boxes(tmp_path)


def edit(artifact: Artifact, change: Callable[[Content], object]) -> None:
    path = Path(artifact.file("boxes.json"))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_boxes_become_corners_of_one_class(artifact: Artifact) -> None:
    (opened,) = open_boxes([artifact.path])
    pictures = read_boxes(opened)
    assert [len(picture.boxes) for picture in pictures] == [1, 1, 1, 0, 1, 1, 1, 0]
    assert [picture.sample_id for picture in pictures] == [f"id-{i}" for i in range(8)]
    for picture in pictures:
        assert picture.labels.tolist() == [0] * len(picture.boxes)
        for x0, y0, x1, y1 in picture.boxes.tolist():
            assert (x1 - x0, y1 - y0) == (SIDE, SIDE)
            assert 0 <= x0 < x1 <= WIDTH
            assert 0 <= y0 < y1 <= HEIGHT


def box(values: list[float]) -> Callable[[Content], object]:
    return lambda content: content["annotations"][0].update(bbox=values)


def no_billet(content: Content) -> None:
    billets = {item["id"] for item in content["images"] if item["category"] == "billet"}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] not in billets]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (box([70, 10, 24, 24]), r"boxes\.json .*70, 10, 24, 24.* in a picture of 80 x 64"),
        (box([-1, 10, 24, 24]), r"box \[-1, 10"),
        (box([10, 10, 0, 24]), r"box \[10, 10, 0"),
        (box([10, 10, float("nan"), 24]), r"nan"),
        (box([10, 10, 24]), r"boxes\.json is not a box file"),
        (lambda content: content["annotations"][0].update(image_id=99), r"there is no 99\)"),
        (lambda content: content["images"][0].pop("category"), r"there is no 'category'"),
        (lambda content: content.pop("images"), r"there is no 'images'.*--exact"),
        (no_billet, r"none of the 4 pictures of billet has a box; .*--tau or a larger --margin"),
        (lambda content: content.update(images=[], annotations=[]), r"not one picture"),
    ],
)
def test_a_wrong_file_is_refused(
    artifact: Artifact, change: Callable[[Content], object], message: str
) -> None:
    edit(artifact, change)
    with pytest.raises(UserError, match=message) as caught:
        read_boxes(artifact)
    assert "\n" not in str(caught.value)


def test_a_damaged_or_lost_file_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    path = Path(artifact.file("boxes.json"))
    path.write_text(path.read_text()[:300])
    with pytest.raises(UserError, match="make it again"):
        read_boxes(artifact)
    path.unlink()
    with pytest.raises(UserError, match="make it again"):
        read_boxes(artifact)
    with pytest.raises(UserError, match="not a finished artifact"):
        open_boxes([str(tmp_path / "nowhere")])


def test_pictures_that_are_gone_are_named(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "3.png").unlink()
    with pytest.raises(UserError, match=r"1 of its 8 pictures are not .*3\.png; put them back"):
        read_boxes(artifact)
    (tmp_path / "pictures").rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"--boxes .*: 8 of its 8 pictures"):
        read_boxes(artifact)
