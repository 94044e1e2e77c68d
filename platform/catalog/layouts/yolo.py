"""YOLO: one text file per picture, each line ``class cx cy width height`` in shares of the size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import yaml

from millsight.platform.catalog.layouts.tree import (
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

PEEKED = 20
NAME_FILES = frozenset({"classes.txt", "obj.names", "predefined_classes.txt"})
Box = tuple[float, float, float, float]


def recognise(tree: Tree) -> Evidence | None:
    """Fit where text files of the pictures' names hold lines of numbers."""
    labels = _label_files(tree)
    lines = [line for name in labels[:PEEKED] for line in _lines(tree, name)]
    if sum(map(_fits, lines)) * 2 <= len(lines):
        return None
    return Evidence(f"{len(labels)} YOLO label files for {len(tree.pictures)} pictures")


def read(tree: Tree) -> Iterator[Record]:
    """Yield pictures with the boxes of the label file of the same name.

    Polygon lines (YOLO segmentation) become the box around them. Class names come from the
    ``names`` of a YAML file at the top, from ``classes.txt`` or ``obj.names``, else they are
    ``class_0`` and so on. The split comes from the picture's folder. Pictures with an empty label
    file or none are unlabelled.

    Raises:
        UserError: If the YAML file is damaged.
    """
    names = _class_names(tree)
    labels = Pairing(_label_files(tree))
    for path in tree.pictures:
        record = Record(path, split=split_folder(path), mask=tree.masks.find(path))
        found = labels.find(path)
        yield record if found is None else _annotate(tree, record, found, names)


def _annotate(tree: Tree, record: Record, name: str, names: Mapping[int, str]) -> Record:
    try:
        found = [_box(line.split()) for line in _lines(tree, name)]
    except ValueError as error:
        return replace(record, problem=f"damaged annotation {name}: {error}")
    labels = tuple(names.get(index, f"class_{index}") for index, _ in found)
    return replace(
        record,
        label=label_from_boxes(record.path, labels, set(labels)),
        boxes=tuple(box for _, box in found),
        box_labels=labels,
        relative=True,
    )


def _fits(line: str) -> bool:
    try:
        return _box(line.split())[0] >= 0
    except ValueError:
        return False


def _box(words: Sequence[str]) -> tuple[int, Box]:
    values = [float(word) for word in words[1:]]
    if len(values) < 4 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"not a YOLO line: {' '.join(words)[:60]!r}")
    index = int(words[0])
    if len(values) in {4, 5}:
        x, y, width, height = values[:4]
        return index, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return index, (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))


def _lines(tree: Tree, name: str) -> list[str]:
    text = tree.read(name).decode("utf-8", errors="replace")
    return [line for line in text.splitlines() if line.strip()]


def _label_files(tree: Tree) -> list[str]:
    stems = {stem(name) for name in tree.pictures}
    return [
        name
        for name in tree.with_suffix(".txt")
        if stem(name) in stems and PurePosixPath(name).name not in NAME_FILES
    ]


def _class_names(tree: Tree) -> dict[int, str]:
    for name in tree.with_suffix(".yaml", ".yml"):
        content = _yaml(tree, name)
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, list):
            return {index: str(item) for index, item in enumerate(names)}
        if isinstance(names, dict):
            return {int(index): str(item) for index, item in names.items()}
    for name in tree.files:
        if PurePosixPath(name).name in NAME_FILES:
            return dict(enumerate(line.strip() for line in _lines(tree, name)))
    return {}


def _yaml(tree: Tree, name: str) -> Any:
    try:
        return yaml.safe_load(tree.read(name))
    except yaml.YAMLError as error:
        raise UserError(f"{tree.uri(name)} is not valid YAML: {error}") from None


LAYOUT = Layout("yolo", "YOLO: one .txt per picture", recognise, read, True)
