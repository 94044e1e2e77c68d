"""Pascal VOC: one XML file per picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from millsight.platform.catalog.layouts.tree import (
    SPLITS,
    Evidence,
    Layout,
    Pairing,
    Record,
    Tree,
    label_from_boxes,
    shared_folders,
    split_folder,
    stem,
)

PEEKED = 5


def recognise(tree: Tree) -> Evidence | None:
    """Fit where XML files have VOC's root element."""
    found = tree.with_suffix(".xml")
    if not found or not any(b"<annotation" in tree.read(name)[:2000] for name in found[:PEEKED]):
        return None
    return Evidence(f"{len(found)} Pascal VOC annotations, {len(tree.pictures)} pictures")


def read(tree: Tree) -> Iterator[Record]:
    """Yield pictures with the boxes of the XML file of the same name, wherever that lies.

    Corners are taken as they stand. The split comes from ``ImageSets/Main`` where present, else
    from the picture's folder (not the XML file's). Pictures without XML are unlabelled; an XML
    file that does not parse sets its picture aside; one without a picture is yielded, to be
    reported.
    """
    splits = _image_sets(tree)
    pictures = Pairing(tree.pictures)
    pairs = [
        (pictures.find(name) or f"{stem(name)}.jpg", name) for name in tree.with_suffix(".xml")
    ]
    # Where two XML files find one picture, the nearer comes last and stays.
    annotations = dict(sorted(pairs, key=lambda pair: shared_folders(*pair)))
    records = []
    for path in sorted(set(tree.pictures) | set(annotations)):
        split = splits.get(stem(path), split_folder(path))
        record = Record(path, split=split, mask=tree.masks.find(path))
        name = annotations.get(path)
        records.append(record if name is None else _annotate(tree, record, name))
    classes = {label for record in records for label in record.box_labels}
    for record in records:
        yield replace(record, label=label_from_boxes(record.path, record.box_labels, classes))


def _annotate(tree: Tree, record: Record, name: str) -> Record:
    try:
        found = _objects(tree.read(name))
    except (ET.ParseError, ValueError, AttributeError, TypeError) as error:
        return replace(record, problem=f"damaged annotation {name}: {error}")
    return replace(
        record,
        boxes=tuple(box for _, box in found),
        box_labels=tuple(label for label, _ in found),
    )


def _objects(data: bytes) -> list[tuple[str, tuple[float, float, float, float]]]:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("document type definitions are not allowed")
    root = ET.fromstring(data)  # noqa: S314
    found = []
    for item in root.iter("object"):
        corners = [float(str(item.findtext(f"bndbox/{key}"))) for key in _CORNERS]
        label = (item.findtext("name") or "").strip()
        if not label:
            raise ValueError("an object without a name")
        found.append((label, (corners[0], corners[1], corners[2], corners[3])))
    return found


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _image_sets(tree: Tree) -> dict[str, str]:
    splits: dict[str, str] = {}
    for name in tree.with_suffix(".txt"):
        split = SPLITS.get(stem(name).lower())
        if split and PurePosixPath(name).parts[-3:-1] == ("ImageSets", "Main"):
            words = (line.split() for line in tree.read(name).decode(errors="replace").splitlines())
            splits |= {parts[0]: split for parts in words if parts}
    return splits


LAYOUT = Layout("voc", "Pascal VOC: one XML per picture", recognise, read, True)
