"""Boxes in COCO's formats: the truth of an annotation file, the predictions of a results file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from millsight.evaluation.results.joining import match, require_all
from millsight.evaluation.results.outside import number, read_json
from millsight.evaluation.results.row import PictureResult, ResultBox
from millsight.platform.catalog.sample import GOOD
from millsight.platform.errors import UserError

MAX_SIDE = 1_000_000
Id = int | str


@dataclass(frozen=True)
class _Images:
    """What an annotation file lists.

    Attributes:
        source: The file.
        images: By id.
        classes: Class name by category id.
    """

    source: str
    images: Mapping[Id, Mapping[str, Any]]
    classes: Mapping[Id, str]


def read_truth(annotations: str, category: str) -> list[PictureResult]:
    """Start a result table from a COCO annotation file alone; its pictures need not be here.

    As everywhere in COCO, a listed picture without annotations has no defect. Sample ids are
    ``coco-<image id>``.

    Args:
        annotations: JSON file with ``images``, ``annotations`` and ``categories``.
        category: Material and line of all its pictures.

    Raises:
        UserError: If the file breaks the format.
    """
    content = read_json(annotations)
    listed = _read_images(annotations, content)
    boxes: dict[Id, list[ResultBox]] = defaultdict(list)
    for position, item in enumerate(_entries(annotations, content, "annotations")):
        place = f"{annotations} annotation {position}"
        image, label = _known(item, listed, place)
        area = number(item["area"], f"{place}: area") if "area" in item else None
        box = replace(_box(item, label, None, place), area=area, crowd=bool(item.get("iscrowd")))
        boxes[image].append(box)
    return [
        _truth_row(image_id, image, tuple(boxes[image_id]), category, annotations)
        for image_id, image in listed.images.items()
    ]


def add_truth(rows: Sequence[PictureResult], annotations: str) -> list[PictureResult]:
    """Fill in the true boxes of an annotation file; pictures that it does not list keep theirs.

    For a set whose own layout draws no boxes, such as one with masks. A file that lists pictures
    only, as for a test whose truth is kept back, changes nothing.

    Raises:
        UserError: If the file breaks the format, or pictures have another size there.
    """
    truth = {row.sample_id: row for row in read_truth(annotations, category="")}
    if not any(row.true_boxes for row in truth.values()):
        return list(rows)
    found = _join(rows, _read_images(annotations, read_json(annotations)))
    return [
        replace(row, true_boxes=truth[f"coco-{found[index]}"].true_boxes) if index in found else row
        for index, row in enumerate(rows)
    ]


def add_boxes(
    rows: Sequence[PictureResult], results: str, annotations: str | None = None
) -> list[PictureResult]:
    """Fill in the predicted boxes of a COCO results file.

    Args:
        rows: The pictures; those that the file names no box for have none found. Pictures whose
            true boxes are unknown are not judged and may be missing in ``annotations``.
        results: JSON list of ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in
            pixels) and ``score``.
        annotations: JSON file whose ``images`` and ``categories`` say what the ids mean; it may
            list further pictures. Without it, image ids are sample ids or file names, and category
            ids are class names.

    Raises:
        UserError: If a file breaks its format, an id is unknown, a picture of ``rows`` is not
            listed, or the boxes were made for pictures of another size.
    """
    entries = _listed(results, read_json(results), "COCO results")
    if annotations is None:
        listed = _named_by_results(results, entries)
    else:
        listed = _read_images(annotations, read_json(annotations))
    boxes: dict[Id, list[ResultBox]] = defaultdict(list)
    for position, item in enumerate(entries):
        place = f"{results} entry {position}"
        image, label = _known(item, listed, place)
        score = number(item.get("score"), f"{place}: score")
        boxes[image].append(_box(item, label, score, place))
    _refuse_shares(results, boxes)
    found = _join(rows, listed)
    if annotations is None:
        _refuse_unknown(listed, found)
        unlisted: tuple[ResultBox, ...] | None = ()
    else:
        _refuse_unlisted(rows, found, annotations)
        unlisted = None
    return [
        replace(row, predicted_boxes=tuple(boxes[found[index]]) if index in found else unlisted)
        for index, row in enumerate(rows)
    ]


def _join(rows: Sequence[PictureResult], listed: _Images) -> dict[int, Id]:
    """Return the image id of each row that is listed."""
    ids = list(listed.images)
    names = [str(image["file_name"]) for image in listed.images.values()]
    joined = match(rows, names, lambda at: f"{listed.source} image {ids[at]} ({names[at]})")
    for index, at in joined.items():
        _check_size(rows[index], listed.images[ids[at]], listed.source)
    return {index: ids[at] for index, at in joined.items()}


def _refuse_unlisted(
    rows: Sequence[PictureResult], found: Mapping[int, Id], annotations: str
) -> None:
    judged = {index: row for index, row in enumerate(rows) if row.true_boxes is not None}
    listed = {at: index for at, index in enumerate(judged) if index in found}
    way_out = "Name the annotation file that the model was run on, or judge its split only."
    require_all(list(judged.values()), listed, annotations, way_out)


def _refuse_unknown(listed: _Images, found: Mapping[int, Id]) -> None:
    unknown = sorted(str(image_id) for image_id in set(listed.images) - set(found.values()))
    if unknown:
        raise UserError(
            f"{listed.source}: {len(unknown)} image ids are none of the pictures, such as "
            f"{unknown[0]!r:.80}. Pass the COCO annotation file that says which pictures they are."
        )


def _truth_row(
    image_id: Id,
    image: Mapping[str, Any],
    boxes: tuple[ResultBox, ...],
    category: str,
    source: str,
) -> PictureResult:
    labels = Counter(box.label for box in boxes).most_common(1)
    width, height = (_side(image, name, source) for name in ("width", "height"))
    return PictureResult(
        sample_id=f"coco-{image_id}",
        uri=str(image["file_name"]),
        category=category,
        width=width,
        height=height,
        defective=bool(boxes),
        label=labels[0][0] if labels else GOOD,
        defect_area=None if boxes else 0,
        true_boxes=boxes,
    )


def _read_images(source: str, content: object) -> _Images:
    images: dict[Id, Mapping[str, Any]] = {}
    classes: dict[Id, str] = {}
    for position, item in enumerate(_entries(source, content, "images")):
        place = f"{source} image {position}"
        image_id = _id(item, "id", place)
        if not isinstance(item.get("file_name"), str) or not item["file_name"]:
            raise UserError(f"{place} needs a file_name.")
        if image_id in images:
            raise UserError(f"{place}: id {image_id} is another image's too; give each its own.")
        images[image_id] = item
    for position, item in enumerate(_entries(source, content, "categories")):
        place = f"{source} category {position}"
        if not isinstance(item.get("name"), str):
            raise UserError(f"{place} needs a name.")
        classes[_id(item, "id", place)] = item["name"]
    return _Images(source, images, classes)


def _named_by_results(results: str, entries: Sequence[Mapping[str, Any]]) -> _Images:
    """Take image ids for names and category ids for classes."""
    images: dict[Id, Mapping[str, Any]] = {}
    classes: dict[Id, str] = {}
    for position, item in enumerate(entries):
        place = f"{results} entry {position}"
        image_id, class_id = _id(item, "image_id", place), _id(item, "category_id", place)
        images[image_id] = {"file_name": str(image_id)}
        if isinstance(class_id, int):
            raise UserError(
                f"{place}: category_id {class_id} is a number; pass the COCO annotation file whose "
                "categories say what it means."
            )
        classes[class_id] = class_id
    return _Images(results, images, classes)


def _entries(source: str, content: object, key: str) -> list[dict[str, Any]]:
    if not isinstance(content, dict) or key not in content:
        raise UserError(
            f"{source} has no {key!r}: an annotation file is an object with images, annotations "
            "and categories."
        )
    return _listed(source, content[key], key)


def _listed(source: str, content: object, what: str) -> list[dict[str, Any]]:
    if isinstance(content, list) and all(isinstance(item, dict) for item in content):
        return content
    raise UserError(f"{source}: {what} have to be a list of objects.")


def _known(item: Mapping[str, Any], listed: _Images, place: str) -> tuple[Id, str]:
    image_id, class_id = _id(item, "image_id", place), _id(item, "category_id", place)
    if image_id not in listed.images:
        raise UserError(f"{place}: {listed.source} lists no image with id {image_id!r:.40}.")
    if class_id not in listed.classes:
        raise UserError(f"{place}: {listed.source} lists no category with id {class_id!r:.40}.")
    return image_id, listed.classes[class_id]


def _id(item: Mapping[str, Any], key: str, place: str) -> Id:
    """Return an id; JSON may hold anything there, and True would pass for 1."""
    value = item.get(key)
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    raise UserError(f"{place} needs a number or a text as {key}.")


def _box(item: Mapping[str, Any], label: str, score: float | None, place: str) -> ResultBox:
    bbox = item.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise UserError(f"{place} needs a bbox of x, y, width and height in pixels.")
    x, y, width, height = (number(value, f"{place}: bbox") for value in bbox)
    if width < 0 or height < 0 or max(abs(x), abs(y), width, height) > MAX_SIDE:
        raise UserError(f"{place}: bbox {bbox} is not x, y, width and height in pixels.")
    return ResultBox(x, y, x + width, y + height, label, score)


def _side(image: Mapping[str, Any], name: str, source: str) -> int:
    value = image.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SIDE:
        return value
    raise UserError(f"{source}: {image['file_name']} needs its {name} in pixels.")


def _check_size(row: PictureResult, image: Mapping[str, Any], source: str) -> None:
    if "width" not in image or "height" not in image:
        return
    size = (_side(image, "width", source), _side(image, "height", source))
    if size != (row.width, row.height):
        raise UserError(
            f"{source}: {image['file_name']} is listed as {size[0]}x{size[1]}, {row.uri} has "
            f"{row.width}x{row.height} pixels. Scale the boxes to the pictures that are judged."
        )


def _refuse_shares(results: str, boxes: Mapping[Id, Sequence[ResultBox]]) -> None:
    corners = [max(box.x1, box.y1) for found in boxes.values() for box in found]
    if corners and max(corners) <= 1:
        raise UserError(
            f"{results}: every box ends within the first pixel, so they seem to be shares of the "
            "picture; multiply them by its width and height."
        )
