"""Dark pictures with one coloured rectangle each, which is what their boxes say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.fingerprints import Recipe
from millsight.pretraining.detector.pictures import BoxedPicture
from millsight.pretraining.pseudo_boxes import produce

# A label's channel of RGB; everything else is grey.
CLASSES = ("dent", "pit", "scratch")
WIDTH, HEIGHT, SIDE = 80, 64, 24


def draw(path: Path, seed: int, label: int | None, size: tuple[int, int] = (HEIGHT, WIDTH)):
    """Write a picture and return its rectangle; without a label it has none."""
    generator = np.random.default_rng(seed)
    height, width = size
    picture = np.repeat(generator.integers(20, 60, (height, width, 1)), 3, axis=2).astype(np.uint8)
    x = int(generator.integers(4, width - SIDE - 4))
    y = int(generator.integers(4, height - SIDE - 4))
    if label is not None:
        picture[y : y + SIDE, x : x + SIDE] = 0
        picture[y : y + SIDE, x : x + SIDE, label] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1])
    return [x, y, x + SIDE, y + SIDE]


def boxed(path: Path, seed: int, label: int | None, size=(HEIGHT, WIDTH)) -> BoxedPicture:
    box = draw(path, seed, label, size)
    boxes, labels = ([], []) if label is None else ([box], [label])
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return BoxedPicture(str(path), corners, np.array(labels, np.int64), f"id-{path.stem}")


def coco_set(folder: Path, splits: Mapping[str, int], classes: int = 2) -> Path:
    """Write a COCO folder; every fourth picture has no box, the others take turns by class."""
    for at, (split, count) in enumerate(splits.items()):
        images, annotations = [], []
        for index in range(count):
            label = None if index % 4 == 3 else index % classes
            name = f"{split}_{index}.png"
            x0, y0, x1, y1 = draw(folder / split / name, 1000 * at + index, label)
            images.append({"id": index, "file_name": name, "width": WIDTH, "height": HEIGHT})
            if label is not None:
                bbox = [x0, y0, x1 - x0, y1 - y0]
                annotations.append({"image_id": index, "category_id": label, "bbox": bbox})
        content = {
            "images": images,
            "annotations": [{"id": i, **item} for i, item in enumerate(annotations, 1)],
            "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
        }
        (folder / split / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


def pseudo_boxes(folder: Path, count: int = 8) -> Artifact:
    """Write an artifact as `millsight boxes` does; every fourth picture has no box."""
    images, annotations = [], []
    for index in range(count):
        path = folder / "pictures" / f"{index}.png"
        x0, y0, x1, y1 = draw(path, index, 0)
        images.append(
            {
                "id": index + 1,
                "file_name": str(path),
                "width": WIDTH,
                "height": HEIGHT,
                "sample_id": f"id-{index}",
                "category": ("plate", "billet")[index % 2],
            }
        )
        if index % 4 != 3:
            bbox = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"id": index + 1, "image_id": index + 1, "bbox": bbox})
    with drafting(folder / "boxes", Recipe(produce.KIND, 1, {}, {})) as draft:
        path = Path(draft.file(produce.BOXES_FILE))
        path.write_text(json.dumps({"images": images, "annotations": annotations}))
        of_each = {"pictures": count // 2, "boxes": 3 * count // 8}
        # Each takes a ninth of its picture.
        of_each |= {"area_histogram": [0, 0, 0, 0, 0, of_each["boxes"], 0]}
        report = {"categories": {"plate": of_each, "billet": of_each}}
        Path(draft.file(produce.REPORT_FILE)).write_text(json.dumps(report))
        return draft.commit()
