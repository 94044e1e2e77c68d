"""The layouts a set can have: class folders with masks, COCO, YOLO."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from millsight.evaluation.metrics.aupro import label_regions
from millsight.generators.export.files import Written
from millsight.generators.export.lines import Lines, lines
from millsight.generators.samples import Box, Generated
from millsight.platform import storage

Format = Literal["folder", "coco", "yolo"]
SPLIT = "train"


class Layout(Protocol):
    """One way to lay out a set; made for one folder and its classes in order."""

    def place(self, name: str, label: str) -> Written:
        """Say where the files of a sample go."""
        ...

    def add(self, generated: Generated, written: Written) -> None:
        """Note what is known about a sample, beside its files."""
        ...

    def finish(self) -> None:
        """Write what is about the whole set."""
        ...


class FolderLayout:
    """A folder per class, masks in another with the same names, ``split.csv``."""

    def __init__(self, folder: str, labels: tuple[str, ...], stack: ExitStack) -> None:
        del labels
        self._folder = folder
        self._rows = stack.enter_context(lines())

    def place(self, name: str, label: str) -> Written:
        """Say where the files of a sample go."""
        place = f"{SPLIT}/{label}/{name}.png"
        return Written(name, f"images/{place}", f"masks/{place}")

    def add(self, generated: Generated, written: Written) -> None:
        """Note the split; without the file, folders named like coils would be no classes."""
        self._rows.add([written.picture, generated.request.spec.label, SPLIT])

    def finish(self) -> None:
        """Write ``split.csv``."""
        with storage.writing(f"{self._folder}/split.csv") as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
            rows = csv.writer(text)
            rows.writerow(("file", "class", "split"))
            rows.writerows(self._rows.read())
            text.detach()


class CocoLayout:
    """COCO instances, a box and its pixels each; masks beside."""

    def __init__(self, folder: str, labels: tuple[str, ...], stack: ExitStack) -> None:
        self._folder = folder
        self._ids = {label: number for number, label in enumerate(labels, start=1)}
        self._images: Lines = stack.enter_context(lines())
        self._annotations: Lines = stack.enter_context(lines())

    def place(self, name: str, label: str) -> Written:
        """Say where the files of a sample go."""
        del label
        return Written(name, f"images/{name}.png", f"masks/{name}.png")

    def add(self, generated: Generated, written: Written) -> None:
        """Note the picture and its annotations."""
        height, width = generated.mask.shape
        image = {"id": self._images.count + 1, "width": width, "height": height}
        self._images.add({**image, "file_name": f"{written.name}.png"})
        category = self._ids[generated.request.spec.label]
        for box, own in zip(generated.boxes, divide(generated.mask, generated.boxes), strict=True):
            number = {"id": self._annotations.count + 1, "image_id": image["id"]}
            about = {**number, "category_id": category, "iscrowd": 0}
            self._annotations.add({**about, **annotation(own, box)})

    def finish(self) -> None:
        """Write ``annotations/instances_train.json``."""
        categories = [{"id": number, "name": label} for label, number in self._ids.items()]
        info = {"description": "Synthetic pictures made with millsight: no photographs."}
        with storage.writing(f"{self._folder}/annotations/instances_{SPLIT}.json") as file:
            file.write(f'{{"info": {json.dumps(info)},\n'.encode())
            file.write(f'"categories": {json.dumps(categories)},\n"images": ['.encode())
            self._images.copy_list(file)
            file.write(b'],\n"annotations": [')
            self._annotations.copy_list(file)
            file.write(b"]}\n")


class YoloLayout:
    """A text file of boxes per picture, in shares of its size; masks beside."""

    def __init__(self, folder: str, labels: tuple[str, ...], stack: ExitStack) -> None:
        del stack
        self._folder = folder
        self._labels = labels

    def place(self, name: str, label: str) -> Written:
        """Say where the files of a sample go."""
        del label
        return Written(name, f"images/{SPLIT}/{name}.png", f"masks/{SPLIT}/{name}.png")

    def add(self, generated: Generated, written: Written) -> None:
        """Write the sample's text file."""
        number = self._labels.index(generated.request.spec.label)
        size = generated.mask.shape[1], generated.mask.shape[0]
        text = "".join(f"{number} {_shares(box, size)}\n" for box in generated.boxes)
        address = f"{self._folder}/labels/{SPLIT}/{written.name}.txt"
        storage.write_bytes(address, text.encode())

    def finish(self) -> None:
        """Write ``data.yaml``, which leaves open what to validate on."""
        content = {"path": ".", "train": f"images/{SPLIT}", "names": dict(enumerate(self._labels))}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        advice = (
            "# val: your real validation pictures; synthetic ones say nothing about real parts\n"
        )
        storage.write_bytes(f"{self._folder}/data.yaml", (text + advice).encode())


LAYOUTS: dict[Format, type[FolderLayout] | type[CocoLayout] | type[YoloLayout]] = {
    "folder": FolderLayout,
    "coco": CocoLayout,
    "yolo": YoloLayout,
}


def divide(mask: NDArray[np.bool_], boxes: Sequence[Box]) -> list[NDArray[np.bool_]]:
    """Divide a mask among boxes that may overlap.

    An 8-connected region belongs to the smallest box that holds all of it.

    Args:
        mask: ``(H, W)`` bool.
        boxes: ``(x0, y0, x1, y1)`` in whole pixels, far corner exclusive.

    Returns:
        ``(H, W)`` bool for each box.
    """
    regions, areas = label_regions(np.ascontiguousarray(mask))
    order = sorted(range(len(boxes)), key=lambda at: _area(boxes[at]))
    owner = np.full(areas.size + 1, -1)
    for at in order:
        x0, y0, x1, y1 = (int(value) for value in boxes[at])
        inside = np.bincount(regions[y0:y1, x0:x1].ravel(), minlength=areas.size + 1)
        owner[1:][(inside[1:] == areas) & (owner[1:] < 0)] = at
    return [owner[regions] == at for at in range(len(boxes))]


def annotation(mask: NDArray[np.bool_], box: Box) -> dict[str, Any]:
    """Return COCO's ``bbox``, ``area`` and ``segmentation`` (uncompressed run lengths).

    Args:
        mask: ``(H, W)`` bool, the pixels of this box alone.
        box: ``(x0, y0, x1, y1)`` in whole pixels, far corner exclusive.
    """
    x0, y0, x1, y1 = (int(value) for value in box)
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(changes, prepend=0, append=flat.size).tolist()
    return {
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": counts},
    }


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shares(box: Box, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = box
    width, height = size
    middle = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height
    return " ".join(repr(value) for value in (*middle, (x1 - x0) / width, (y1 - y0) / height))
