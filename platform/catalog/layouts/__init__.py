"""The dataset layouts, one file each, and the choice among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from millsight.platform.catalog.layouts import (
    beside,
    coco,
    folders,
    mvtec,
    steeldefectx,
    voc,
    yolo,
)
from millsight.platform.catalog.layouts.tree import Evidence, Layout, Tree, suffix
from millsight.platform.errors import UserError

LAYOUTS = (
    coco.LAYOUT,
    voc.LAYOUT,
    yolo.LAYOUT,
    mvtec.LAYOUT,
    beside.LAYOUT,
    steeldefectx.LAYOUT,
    folders.CLASSES,
    folders.FLAT,
)
AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """The layout that a folder is read with, and why."""

    layout: Layout
    evidence: Evidence


def choose_layout(tree: Tree, name: str = AUTO) -> Choice:
    """Choose by inspection, or take the named layout.

    Layouts with files of their own (annotations, masks, ``train/good``) come before plain folders.

    Raises:
        UserError: If the name is unknown, nothing fits, or more than one layout does.
    """
    if name != AUTO:
        return Choice(_by_name(name), Evidence("named by --layout"))
    fitting = [
        Choice(layout, evidence)
        for layout in LAYOUTS
        if (evidence := layout.recognise(tree)) is not None
    ]
    best = [found for found in fitting if found.evidence.distinctive] or fitting
    if len(best) == 1:
        return best[0]
    raise UserError(_undecided(tree, best))


def _by_name(name: str) -> Layout:
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    names = ", ".join([AUTO, *(layout.name for layout in LAYOUTS)])
    raise UserError(f"--layout {name}: no such layout; the layouts are {names}.")


def _undecided(tree: Tree, best: list[Choice]) -> str:
    if best:
        seen = "".join(f"\n  {found.layout.name}: {found.evidence.text}" for found in best)
        return f"{tree.root} fits several layouts; name one with --layout:{seen}"
    kinds = Counter(suffix(name) or "no suffix" for name in tree.files)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8)) or "no files"
    tops = sorted({name.split("/")[0] for name in tree.files if "/" in name})
    below = f" in {', '.join(tops[:8])}{' ...' if len(tops) > 8 else ''}" if tops else ""
    names = "".join(f"\n  {layout.name}: {layout.summary}" for layout in LAYOUTS)
    return (
        f"{tree.root}: no layout is recognised for certain. Seen: {counted}{below}. "
        f"Name the layout with --layout:{names}"
    )
