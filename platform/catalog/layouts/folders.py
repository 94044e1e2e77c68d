"""Plain folders of pictures: of unknown class, or one subfolder per class."""

from __future__ import annotations

import re
from collections.abc import Iterator

from millsight.platform.catalog.layouts.tree import (
    Evidence,
    Layout,
    Record,
    Tree,
    canonical,
    class_folder,
    split_folder,
)
from millsight.platform.catalog.sample import GOOD


def recognise_flat(tree: Tree) -> Evidence | None:
    """Fit where pictures lie in no folder that could name a class."""
    folders = _folders(tree)
    if not tree.pictures or folders:
        return None
    return Evidence(f"{len(tree.pictures)} pictures, no subfolder that could be a class", False)


def read_flat(tree: Tree) -> Iterator[Record]:
    """Yield every picture with its label unknown; subfolders mean nothing but a split."""
    for path in tree.pictures:
        yield Record(path, split=split_folder(path), mask=tree.masks.find(path))


def recognise_classes(tree: Tree) -> Evidence | None:
    """Fit where subfolders could be classes; names with digits could as well be coils or dates."""
    folders = _folders(tree)
    if not folders or any(class_folder(path) is None for path in tree.pictures):
        return None
    names = ", ".join(sorted(folders)[:8])
    text = f"{len(tree.pictures)} pictures in {len(folders)} subfolders: {names}"
    good = any(canonical(name) == GOOD for name in folders)
    if good or "split.csv" in tree.file_set:
        return Evidence(text, False)
    numbered = sum(bool(re.search(r"\d", name)) for name in folders)
    return None if numbered * 2 > len(folders) else Evidence(text, False)


def read_classes(tree: Tree) -> Iterator[Record]:
    """Yield every picture with its innermost folder as the label; at the top it is unknown."""
    for path in tree.pictures:
        folder = class_folder(path)
        label = None if folder is None else canonical(folder)
        yield Record(path, label=label, split=split_folder(path), mask=tree.masks.find(path))


def _folders(tree: Tree) -> set[str]:
    return {folder for path in tree.pictures if (folder := class_folder(path)) is not None}


FLAT = Layout("folder", "pictures of unknown class, in any subfolders", recognise_flat, read_flat)
CLASSES = Layout("classes", "one subfolder per class", recognise_classes, read_classes)
