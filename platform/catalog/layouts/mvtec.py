"""MVTec AD's layout: ``train/good``, ``test/<class>``, ``ground_truth/<class>``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from millsight.platform.catalog.layouts.tree import Evidence, Layout, Record, Tree, canonical
from millsight.platform.catalog.sample import GOOD

SPLIT_FOLDERS = ("train", "test")


def recognise(tree: Tree) -> Evidence | None:
    """Fit where there is a ``train/good`` with a ``test`` beside it, at the top or one below."""
    categories = _categories(tree)
    if not categories:
        return None
    names = ", ".join(name or "the folder itself" for name in categories)
    return Evidence(f"train/good and test/ in {len(categories)} categories: {names}")


def read(tree: Tree) -> Iterator[Record]:
    """Yield pictures with the folder as class and split; the category is its folder's name."""
    categories = set(_categories(tree))
    for path in tree.pictures:
        parts = PurePosixPath(path).parts
        depth = next((i for i, part in enumerate(parts) if part in SPLIT_FOLDERS), None)
        if depth is None or "/".join(parts[:depth]) not in categories or len(parts) != depth + 3:
            continue
        label = canonical(parts[depth + 1])
        yield Record(
            path,
            label=label,
            split=parts[depth],
            category=parts[depth - 1] if depth else None,
            mask=None if label == GOOD else _mask(tree, parts, depth),
        )


def _categories(tree: Tree) -> list[str]:
    """Return the folders, relative to the root, that hold ``train/good`` and ``test``.

    Beside one that holds both, a folder with either is a category too: a small set may lack one.
    """
    seen: dict[str, set[str]] = {}
    for path in tree.pictures:
        parts = PurePosixPath(path).parts
        for depth, part in enumerate(parts[:-2]):
            if part in SPLIT_FOLDERS:
                name = part if part == "test" else f"train/{canonical(parts[depth + 1])}"
                seen.setdefault("/".join(parts[:depth]), set()).add(name)
                break
    needed = {f"train/{GOOD}", "test"}
    depths = {len(PurePosixPath(name).parts) for name, kinds in seen.items() if needed <= kinds}
    found = (name for name, kinds in seen.items() if needed & kinds)
    return sorted(name for name in found if len(PurePosixPath(name).parts) in depths)


def _mask(tree: Tree, parts: tuple[str, ...], depth: int) -> str | None:
    top = PurePosixPath(*parts[:depth], "ground_truth", parts[depth + 1])
    own = PurePosixPath(parts[-1])
    names = (f"{own.stem}{ending}{end}" for ending in ("_mask", "") for end in (".png", own.suffix))
    return next((str(top / name) for name in names if str(top / name) in tree.file_set), None)


LAYOUT = Layout("mvtec", "train/good, test/<class>, ground_truth/<class>", recognise, read)
