"""Sets of synthetic pictures, as a command's setting names them."""

from __future__ import annotations

from collections.abc import Sequence

from millsight.platform import storage
from millsight.platform.catalog.catalog import FILE, Catalog, load_data
from millsight.platform.catalog.layouts.tree import Tree
from millsight.platform.errors import UserError


def open_sets(sets: Sequence[str], flag: str) -> list[Catalog]:
    """Open sets of synthetic pictures; one of which nothing was accepted is left out, and named.

    Args:
        sets: Folders in any layout, or catalogs.
        flag: That named them.

    Raises:
        UserError: If one cannot be read, or has a photograph: that would be one more labelled
            picture, which nobody counted.
    """
    found = [(path, load_data(path)) for path in sets if not _is_empty(path, flag)]
    for path, catalog in found:
        real = next((sample for sample in catalog if sample.synthetic is None), None)
        if real is not None:
            raise UserError(
                f"{flag} {path}: {real.uri} is not marked as synthetic; photographs belong into "
                "--data, where they are counted and divided."
            )
    return [catalog for _, catalog in found]


def _is_empty(path: str, flag: str) -> bool:
    """Say, also to people, whether a folder is there that holds no picture at all."""
    fs, local = storage.filesystem(path.rstrip("/"))
    empty = fs.isdir(local) and not fs.exists(f"{local}/{FILE}") and not Tree(path).pictures
    if empty:
        print(f"{flag} {path}: holds no picture; it is left out.")
    return empty
