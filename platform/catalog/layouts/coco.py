"""COCO: one or more JSON files with ``images``, ``annotations`` and ``categories``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from millsight.platform.catalog.layouts.tree import (
    SPLITS,
    Evidence,
    Layout,
    Pairing,
    Record,
    Tree,
    label_from_boxes,
    split_folder,
    stem,
)
from millsight.platform.errors import UserError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Annotated:
    """The annotations of one picture."""

    split: str | None
    boxes: tuple[Box, ...]
    box_labels: tuple[str, ...]


def recognise(tree: Tree) -> Evidence | None:
    """Fit where a JSON file has the three COCO lists."""
    found = _annotation_files(tree)
    if not found:
        return None
    images = sum(len(content["images"]) for content in found.values())
    return Evidence(f"COCO annotations for {images} pictures in {', '.join(found)}")


def read(tree: Tree) -> Iterator[Record]:
    """Yield annotated pictures with boxes, and the folder's other pictures as unlabelled.

    The split comes from the JSON file's name (``instances_train.json``) or from the picture's
    folder. A picture that a JSON file names and the folder lacks is yielded too; it is quarantined
    when it is opened.

    Raises:
        UserError: If a JSON file breaks the format.
    """
    files = _annotation_files(tree)
    annotated: dict[str, Annotated] = {}
    classes: set[str] = set()
    for name, content in files.items():
        try:
            annotated |= _read_file(tree, name, content)
            classes |= {str(item["name"]) for item in content["categories"]}
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{tree.uri(name)} breaks the COCO format ({type(error).__name__}: {error})."
            ) from None
    for path in sorted(set(tree.pictures) | set(annotated)):
        found = annotated.get(path)
        if found is None:
            yield Record(path, split=split_folder(path), mask=tree.masks.find(path))
            continue
        yield Record(
            path,
            label=label_from_boxes(path, found.box_labels, classes),
            split=found.split or split_folder(path),
            mask=tree.masks.find(path),
            boxes=found.boxes,
            box_labels=found.box_labels,
        )


def _annotation_files(tree: Tree) -> dict[str, Mapping[str, Any]]:
    keys = {"images", "annotations", "categories"}
    return {
        name: content
        for name, content in tree.json_files.items()
        if isinstance(content, dict)
        and keys <= set(content)
        and all(isinstance(content[key], list) for key in keys)
    }


def _read_file(tree: Tree, name: str, content: Mapping[str, Any]) -> dict[str, Annotated]:
    classes = {item["id"]: str(item["name"]) for item in content["categories"]}
    boxes: dict[Any, list[tuple[Box, str]]] = defaultdict(list)
    for annotation in content["annotations"]:
        x, y, width, height = (float(value) for value in annotation["bbox"])
        box = (x, y, x + width, y + height)
        boxes[annotation["image_id"]].append((box, classes[annotation["category_id"]]))
    by_name = Pairing(tree.pictures)
    split = split_of_file(name)
    return {
        _locate(tree, name, str(image["file_name"]), by_name): Annotated(
            split,
            tuple(box for box, _ in boxes[image["id"]]),
            tuple(label for _, label in boxes[image["id"]]),
        )
        for image in content["images"]
    }


def split_of_file(name: str) -> str | None:
    """Return the split that an annotation file's name or folder tells, as in ``instances_val``."""
    words = stem(name).lower().replace("-", "_").replace(".", "_").split("_")
    plain = (word.rstrip("0123456789") for word in words)
    return next((SPLITS[word] for word in plain if word in SPLITS), None) or split_folder(name)


def _locate(tree: Tree, json_name: str, file_name: str, by_name: Pairing) -> str:
    """Find a picture below the root; only files of the tree can be named."""
    folder = PurePosixPath(json_name).parent
    plain = PurePosixPath(file_name.replace("\\", "/"))
    for place in (plain, folder / plain, folder / "images" / plain, "images" / plain):
        if str(place) in tree.file_set:
            return str(place)
    found = by_name.find(str(folder / plain))
    return found if found is not None and found.endswith(plain.name) else str(plain)


LAYOUT = Layout("coco", "JSON with images, annotations, categories", recognise, read, True)
