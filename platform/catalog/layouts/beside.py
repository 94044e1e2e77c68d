"""A mask beside each picture: magnetic-tile (same name) and Kolektor SDD (``_label``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from millsight.platform.catalog.layouts.tree import (
    Evidence,
    Layout,
    Record,
    Tree,
    canonical,
    class_folder,
    split_folder,
)
from millsight.platform.catalog.pictures import MASK_THRESHOLD, PictureError, open_picture
from millsight.platform.catalog.sample import GOOD

ENDINGS = ("_label", "_mask", "_gt", "_GT")
MASK_SUFFIXES = (".png", ".bmp")
CLASS_PREFIX = "MT_"
DEFECT = "defect"
# The numbers of one tile's pictures lie at most 260 apart, measured on the split by tile.
TILE_GAP = 300


def recognise(tree: Tree) -> Evidence | None:
    """Fit where at least half of the pictures have a mask beside them."""
    masks = _pairs(tree)
    pictures = len(tree.all_pictures) - len(masks)
    if not masks or len(masks) * 2 < pictures:
        return None
    example = next(iter(masks))
    return Evidence(f"{len(masks)} of {pictures} pictures have a mask beside them: {example}")


def read(tree: Tree) -> Iterator[Record]:
    """Yield pictures with their masks.

    Where the folders are classes (one is a name for good, or starts with ``MT_``) they give the
    label, without the prefix and in lower case. Elsewhere an empty mask means good, a mask with
    foreground means ``"defect"``, no mask means unknown, and the folder is the group (``kos01``,
    one part). Magnetic tiles are grouped by runs of picture numbers with gaps of at most 300: that
    never divides a tile, and joins some.
    """
    pairs = _pairs(tree)
    masks = set(pairs.values())
    pictures = [path for path in tree.all_pictures if path not in masks]
    by_class = any(_label(path) == GOOD or f"/{CLASS_PREFIX}" in f"/{path}" for path in pictures)
    tiles = _tiles(pictures)
    for path in pictures:
        mask = pairs.get(path)
        label, problem = (_label(path), None) if by_class else _label_from_mask(tree, mask)
        yield Record(
            path,
            label=label,
            group=tiles.get(path) if by_class else class_folder(path),
            split=split_folder(path),
            mask=mask,
            problem=problem,
        )


def _pairs(tree: Tree) -> dict[str, str]:
    """Return picture to mask; both lie in one folder."""
    pairs = {}
    for path in tree.all_pictures:
        own = PurePosixPath(path)
        names = [f"{own.stem}{ending}{end}" for ending in ENDINGS for end in MASK_SUFFIXES]
        if own.suffix.lower() in {".jpg", ".jpeg"}:
            names += [f"{own.stem}{end}" for end in MASK_SUFFIXES]
        found = (str(own.with_name(name)) for name in names)
        mask = next((name for name in found if name in tree.file_set), None)
        if mask is not None:
            pairs[path] = mask
    return pairs


def _label(path: str) -> str | None:
    folder = class_folder(path)
    return None if folder is None else canonical(folder.removeprefix(CLASS_PREFIX).lower())


def _label_from_mask(tree: Tree, mask: str | None) -> tuple[str | None, str | None]:
    if mask is None:
        return None, None
    try:
        foreground = bool((open_picture(tree.uri(mask)) > MASK_THRESHOLD).any())
    except PictureError as error:
        return None, f"mask {mask}: {error}"
    return (DEFECT if foreground else GOOD), None


def _tiles(pictures: list[str]) -> dict[str, str]:
    found = ((re.search(r"exp\d+_num_(\d+)", path), path) for path in pictures)
    numbered = sorted((int(match[1]), path) for match, path in found if match)
    tiles: dict[str, str] = {}
    first = last = -TILE_GAP - 1
    for number, path in numbered:
        first = number if number - last > TILE_GAP else first
        tiles[path], last = f"num_{first}", number
    return tiles


LAYOUT = Layout("beside", "a mask beside each picture", recognise, read)
